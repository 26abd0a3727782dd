import { setMaxListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { NbdError, type Awaitable, type BlockDevice } from '@nbd/protocol';
import type { BufferPool } from '@nbd/transport/pool';
import { attempt, during } from './attempt.js';
import { poolFor } from './copy.js';
import { GRANULARITY, REQUEST_SIZE, REQUESTS, type Progress } from './options.js';
import { inOrder } from './ordered.js';
import { everything, segments, type Segment } from './segments.js';

export interface ScanOptions {
  /** Bytes of one read; 1 048 576. It is rounded up to a multiple of 65 536. */
  readonly requestSize?: number;
  /** Reads under way at once; 64. At most `requests * requestSize` bytes of a device are held. */
  readonly requests?: number;
  /** Reads everything, whatever the extents say. */
  readonly ignoreExtents?: boolean;
  /** The promise then rejects with `ECANCELED`. */
  readonly signal?: AbortSignal;
  /** Called often, with the same object changed; `written` stays 0. */
  readonly progress?: (progress: Progress) => void;
}

/** A part of a disk, in bytes from its start. */
export interface Stretch {
  readonly start: bigint;
  readonly end: bigint;
}

export interface Scan<Piece extends Stretch, Seen> {
  /** Bytes, for the progress. */
  readonly size: bigint;
  /** What to look at, in order. */
  readonly pieces: (signal: AbortSignal) => AsyncIterable<Piece>;
  /** Looks at a piece, while others are looked at. */
  readonly look: (piece: Piece, signal: AbortSignal) => Awaitable<Seen>;
  /** Takes what was seen of a piece: one after the other, in order. */
  readonly take: (seen: Seen) => void;
}

/** A multiple of every minimum block size, and the block of a tree hash. */
const UNIT = 65_536;

/** Bytes looked at without a pause, before timers and signals get their turn; every piece counts as a request. */
const TURN = 64 << 20;

/** Looks at a disk, with many requests under way, and takes what is seen in order. */
export async function scan<Piece extends Stretch, Seen>(
  { size, pieces, look, take }: Scan<Piece, Seen>,
  options: ScanOptions,
): Promise<void> {
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  // One for each request under way: no leak.
  setMaxListeners(0, signal);
  const progress = { size, done: 0n, read: 0n, written: 0n };
  const lookAt = async (piece: Piece) => ({ piece, seen: await look(piece, signal) });
  try {
    options.signal?.throwIfAborted();
    let sinceTurn = 0;
    for await (const { piece, seen } of inOrder(pieces(signal), options.requests ?? REQUESTS, stop, lookAt)) {
      options.signal?.throwIfAborted();
      take(seen);
      progress.done = piece.end;
      options.progress?.(progress);
      sinceTurn += requestSizeOf(options);
      if (sinceTurn < TURN) continue;
      sinceTurn = 0;
      await setImmediate();
    }
  } catch (error) {
    if (options.signal?.aborted !== true) throw error;
    throw new NbdError('ECANCELED', 'cancelled', { cause: options.signal.reason });
  }
}

/** A pool that keeps what a scan reads at once. */
export function scanPool(options: ScanOptions): BufferPool {
  return poolFor({ requests: options.requests ?? REQUESTS, requestSize: requestSizeOf(options) });
}

/** Bytes of one read; a multiple of 65 536, so that it is whole blocks of every device. */
export function requestSizeOf({ requestSize = REQUEST_SIZE }: ScanOptions): number {
  return Math.ceil(requestSize / UNIT) * UNIT;
}

/** The segments of a device before `end`, of which nothing beyond is said. */
export async function* segmentsBefore(
  device: BlockDevice,
  name: string,
  { start = 0n, end, granularity = GRANULARITY }: { start?: bigint; end: bigint; granularity?: number },
  { ignoreExtents = false }: ScanOptions,
  signal: AbortSignal,
): AsyncGenerator<Segment> {
  const block = device.info?.blockSize?.minimum ?? 1;
  const unit = BigInt(Math.max(granularity, block));
  const rest = end % BigInt(block);
  const wholeEnd = rest === 0n ? end : end - rest + BigInt(block);
  const all = ignoreExtents
    ? everything(device, start)
    : segments(device, { start, end: wholeEnd, granularity: unit, signal });
  let at = start;
  try {
    for await (const segment of all) {
      if (segment.start >= end) return;
      yield segment.end <= end ? segment : { ...segment, end };
      at = segment.end;
    }
  } catch (error) {
    throw during(`asking ${name} for its extents`, at, error);
  }
}

/** Cuts what is `long` at multiples of `step`, so that gaps in between do not shift all that follow. */
export async function* cut<Piece extends Stretch>(
  pieces: AsyncIterable<Piece>,
  step: number,
  long: (piece: Piece) => boolean,
): AsyncGenerator<Piece> {
  const size = BigInt(step);
  for await (const piece of pieces) {
    if (!long(piece)) {
      yield piece;
      continue;
    }
    for (let start = piece.start; start < piece.end;) {
      const boundary = start - (start % size) + size;
      const end = boundary < piece.end ? boundary : piece.end;
      yield { ...piece, start, end };
      start = end;
    }
  }
}

/**
 * Fills the first bytes of `buffer` with those from `start` to `end`, in as many reads as the device wants. `end` may
 * lie within a block of the device: then there must be room for all of the block.
 */
export async function readStretch(
  device: BlockDevice,
  name: string,
  { start, end }: Stretch,
  buffer: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { minimum, maximum } = device.info?.blockSize ?? { minimum: 1, maximum: Infinity };
  const length = Number(end - start);
  const whole = Math.ceil(length / minimum) * minimum;
  const longest = Math.floor(maximum / minimum) * minimum;
  for (let at = 0; at < whole; at += longest) {
    const offset = start + BigInt(at);
    const into = buffer.subarray(at, Math.min(at + longest, whole));
    await attempt(`reading ${name}`, offset, () => device.read(offset, into, { signal }));
  }
  return buffer.subarray(0, length);
}
