import { isPromise, type Awaitable, type BlockDevice } from '@nbd/protocol';
import { BufferPool } from '@nbd/transport/pool';
import { attempt, during } from './attempt.js';
import { checkDestination } from './check.js';
import { GRANULARITY, sizesOf, type CopyOptions, type Progress, type Sizes } from './options.js';
import { Pieces } from './pieces.js';
import { everything, segments, type Segment } from './segments.js';
import { Writer } from './writer.js';

/** Bytes copied without a pause between devices that answer at once, before timers and signals get their turn. */
const TURN = 64 << 20;

/**
 * Copies one device to another, which is at least as large. It settles when all is written and flushed.
 *
 * ```ts
 * const source = await connect('nbd://localhost');
 * await copy(source, destination, { requests: 16 });
 * ```
 *
 * @throws NbdError ENOSPC if the destination is too small (nothing is written), EROFS if it is read-only, ECANCELED if
 *   the signal aborts, and the first error of either device, with the offset and what was being done in the message.
 *   The destination is then incomplete.
 */
export async function copy(
  source: BlockDevice,
  destination: BlockDevice,
  options: CopyOptions = {},
): Promise<Progress> {
  checkDestination(destination, source.size, options);
  const sizes = sizesOf(options, [source.info?.blockSize, destination.info?.blockSize]);
  const pieces = new Pieces(options.start ?? 0n, source.size, sizes.requests, options);
  const writer = new Writer(destination, sizes, pieces, options);
  await new Copier(source, writer, sizes, pieces, options).run();
  if (options.flush !== false) await writer.flush();
  return pieces.progress;
}

class Copier {
  readonly #source: BlockDevice;
  readonly #writer: Writer;
  readonly #pieces: Pieces;
  readonly #sizes: Sizes;
  readonly #options: CopyOptions;
  readonly #name: string;
  readonly #pool: BufferPool;
  #sinceTurn = 0;

  constructor(source: BlockDevice, writer: Writer, sizes: Sizes, pieces: Pieces, options: CopyOptions) {
    this.#source = source;
    this.#writer = writer;
    this.#pieces = pieces;
    this.#sizes = sizes;
    this.#options = options;
    this.#name = options.names?.source ?? 'the source';
    this.#pool = poolFor(sizes);
  }

  async run(): Promise<void> {
    const start = this.#options.start ?? 0n;
    let at = start;
    try {
      for await (const segment of this.#segments(start)) {
        if (this.#pieces.hasFailed) break;
        if (segment.zero) await this.#copyZeroes(segment);
        else await this.#copyData(segment);
        at = segment.end;
      }
    } catch (error) {
      this.#pieces.fail(during(`asking ${this.#name} for its extents`, at, error));
    }
    await this.#pieces.finish();
  }

  #segments(start: bigint): AsyncGenerator<Segment> {
    if (this.#options.ignoreExtents === true) return everything(this.#source, start);
    const granularity = BigInt(Math.max(GRANULARITY, this.#sizes.block));
    return segments(this.#source, { start, granularity, signal: this.#pieces.signal });
  }

  async #copyData({ start, end }: Segment): Promise<void> {
    const pieces = this.#pieces;
    const step = BigInt(this.#sizes.requestSize);
    for (let at = start; at < end && !pieces.hasFailed;) {
      // Aligned to the size of requests, so that holes in between do not shift all that follow.
      const boundary = at - (at % step) + step;
      const stop = boundary < end ? boundary : end;
      const from = at;
      if (pieces.isFull) await pieces.room();
      pieces.begin(stop, () => this.#copyPiece(from, Number(stop - from)));
      at = stop;
      this.#sinceTurn += this.#sizes.requestSize;
      if (this.#sinceTurn >= TURN) await this.#giveWay();
    }
  }

  async #copyZeroes({ start, end }: Segment): Promise<void> {
    const pieces = this.#pieces;
    const longest = this.#writer.zeroLength;
    for (let at = start; at < end && !pieces.hasFailed;) {
      const stop = at + longest < end ? at + longest : end;
      const from = at;
      if (pieces.isFull) await pieces.room();
      pieces.begin(stop, () => this.#writer.zero(from, stop));
      at = stop;
    }
  }

  #copyPiece(start: bigint, length: number): Awaitable<void> {
    const buffer = this.#pool.take(length);
    const bytes = buffer.subarray(0, length);
    const read = attempt(`reading ${this.#name}`, start, () =>
      this.#source.read(start, bytes, { signal: this.#pieces.signal }),
    );
    const write = () => {
      this.#pieces.progress.read += BigInt(length);
      const written = this.#writer.put(start, bytes);
      if (isPromise(written)) {
        return written.then(() => {
          this.#pool.give(buffer);
        });
      }
      this.#pool.give(buffer);
      return undefined;
    };
    return isPromise(read) ? read.then(write) : write();
  }

  async #giveWay(): Promise<void> {
    this.#sinceTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A pool that keeps what a copy uses at once. */
export function poolFor({ requests, requestSize }: Omit<Sizes, 'block'>): BufferPool {
  return new BufferPool({
    maxIdle: requests * requestSize,
    memory: (length) => Buffer.allocUnsafeSlow(length),
  });
}
