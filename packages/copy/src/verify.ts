import { NbdError, type BlockDevice } from '@nbd/protocol';
import {
  cut,
  readStretch,
  requestSizeOf,
  scan,
  scanPool,
  segmentsBefore,
  type ScanOptions,
  type Stretch,
} from './engine/scan.js';
import type { Segment } from './engine/segments.js';
import { isZero } from './engine/zeroes.js';

export interface VerifyOptions extends ScanOptions {
  /** Where to begin, in bytes; a multiple of 65 536. 0 unless told otherwise. */
  readonly start?: bigint;
  /** Where to stop, in bytes; the end of the source unless told otherwise. */
  readonly end?: bigint;
  /** How messages call both sides; `the source` and `the destination`. */
  readonly names?: { readonly source: string; readonly destination: string };
}

/** A stretch where each side is of one kind. */
interface Pair extends Stretch {
  readonly sourceZero: boolean;
  readonly destinationZero: boolean;
}

/**
 * Compares two devices, as far as the source goes: what the destination has beyond does not matter. What the extents of
 * both say is zero is not read.
 *
 * ```ts
 * await copy(source, destination);
 * await verify(source, destination);
 * ```
 *
 * @throws NbdError EIO at the first byte that differs, which is its `offset`; ENOSPC if the destination is smaller;
 *   ECANCELED if the signal aborts; else what a device throws, with the offset in the message
 */
export async function verify(
  source: BlockDevice,
  destination: BlockDevice,
  options: VerifyOptions = {},
): Promise<void> {
  const names = options.names ?? { source: 'the source', destination: 'the destination' };
  const { start = 0n, end = source.size } = options;
  if (destination.size < end) {
    throw new NbdError(
      'ENOSPC',
      `${names.destination} has ${destination.size} bytes, and ${names.source} ${end}`,
    );
  }
  const requestSize = requestSizeOf(options);
  // A buffer holds what both sides have.
  const pool = scanPool({ ...options, requestSize: requestSize * 2 });
  const sides = { source, destination };
  const range = { start, end };

  const read = (side: keyof typeof sides, pair: Stretch, buffer: Uint8Array, signal: AbortSignal) =>
    readStretch(sides[side], names[side], pair, buffer, signal);

  /** @returns where the first difference is, if there is one, and what both sides have there */
  const compare = async (pair: Pair, signal: AbortSignal): Promise<Difference | undefined> => {
    if (pair.sourceZero && pair.destinationZero) return undefined;
    const buffer = pool.take(requestSize * 2);
    const reads = await Promise.allSettled([
      pair.sourceZero ? undefined : read('source', pair, buffer.subarray(0, requestSize), signal),
      pair.destinationZero ? undefined : read('destination', pair, buffer.subarray(requestSize), signal),
    ]);
    // Both have settled, also where one has failed: they hold the buffer.
    const [left, right] = reads.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
    const difference = firstDifference(pair.start, left, right);
    pool.give(buffer);
    return difference;
  };

  await scan<Pair, Difference | undefined>(
    {
      size: end,
      pieces: (signal) =>
        cut(
          pairs(
            segmentsBefore(source, names.source, range, options, signal),
            segmentsBefore(destination, names.destination, range, options, signal),
          ),
          requestSize,
          (pair) => !pair.sourceZero || !pair.destinationZero,
        ),
      look: compare,
      take: (difference) => {
        if (difference) throw differ(names, difference);
      },
    },
    options,
  );
}

interface Difference {
  readonly offset: bigint;
  readonly source: number;
  readonly destination: number;
}

function differ(
  names: { readonly source: string; readonly destination: string },
  { offset, source, destination }: Difference,
): NbdError {
  return new NbdError(
    'EIO',
    `${names.destination} differs from ${names.source} at offset ${offset}: ` +
      `it has ${inHex(destination)} there instead of ${inHex(source)}`,
    { offset },
  );
}

function inHex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}

/** @param left undefined for zeroes, as `right` */
function firstDifference(
  start: bigint,
  left: Uint8Array | undefined,
  right: Uint8Array | undefined,
): Difference | undefined {
  const bytes = left ?? right;
  if (!bytes) return undefined;
  if (left && right ? Buffer.compare(left, right) === 0 : isZero(bytes, 0, bytes.length)) return undefined;
  let at = 0;
  while ((left?.[at] ?? 0) === (right?.[at] ?? 0)) at++;
  return { offset: start + BigInt(at), source: left?.[at] ?? 0, destination: right?.[at] ?? 0 };
}

/** Both sides' segments together, cut where either ends. Both cover the same range. */
async function* pairs(
  source: AsyncGenerator<Segment>,
  destination: AsyncGenerator<Segment>,
): AsyncGenerator<Pair> {
  let left = await source.next();
  let right = await destination.next();
  for (let start: bigint | undefined; !left.done && !right.done;) {
    start ??= left.value.start;
    const end = left.value.end < right.value.end ? left.value.end : right.value.end;
    yield { start, end, sourceZero: left.value.zero, destinationZero: right.value.zero };
    start = end;
    if (left.value.end === end) left = await source.next();
    if (right.value.end === end) right = await destination.next();
  }
}
