import { isPromise, type Awaitable, type BlockDevice } from '@nbd/protocol';
import { attempt } from './attempt.js';
import { GRANULARITY, type Sizes, type StreamOptions } from './options.js';
import type { Pieces } from './pieces.js';
import { zeroRuns } from './zeroes.js';

/** A zero longer than this is cut up, for progress; of a giant disk into so many. */
const LONGEST_ZERO = 1n << 30n;
const MOST_ZEROES = 4096n;

/** Puts data and zeroes in the destination, each by the cheapest means that it has. */
export class Writer {
  /** The best length of a piece that is all zeroes, in bytes. */
  readonly zeroLength: bigint;
  readonly #destination: BlockDevice;
  readonly #pieces: Pieces;
  readonly #name: string;
  readonly #block: number;
  readonly #requestSize: number;
  /** 0: zeroes are not looked for. */
  readonly #sparse: number;
  readonly #allocated: boolean;
  /** Zeroes need not be written. */
  readonly #isZero: boolean;
  #zeroes: Uint8Array | undefined;

  /** @param destination as `checkDestination` lets it pass */
  constructor(
    destination: BlockDevice,
    { block, requestSize }: Sizes,
    pieces: Pieces,
    options: StreamOptions,
  ) {
    this.#name = options.names?.destination ?? 'the destination';
    this.#destination = destination;
    this.#pieces = pieces;
    this.#block = block;
    this.#requestSize = requestSize;
    this.#allocated = options.allocated ?? false;
    this.#isZero = options.destinationIsZero === true && !this.#allocated;
    const sparse = options.sparse ?? GRANULARITY;
    this.#sparse = sparse === 0 || this.#allocated ? 0 : Math.max(sparse, block);
    const share = destination.size / MOST_ZEROES;
    const longest = share < LONGEST_ZERO ? LONGEST_ZERO : share - (share % LONGEST_ZERO);
    this.zeroLength = destination.zero || this.#isZero ? longest : BigInt(requestSize);
  }

  /** Writes what is data, and zeroes what turns out to be zeroes. */
  put(start: bigint, bytes: Uint8Array): Awaitable<void> {
    if (this.#sparse === 0) return this.#write(start, bytes);
    const pending: Promise<void>[] = [];
    for (const run of zeroRuns(bytes, this.#sparse, Number(start % BigInt(this.#sparse)))) {
      const at = start + BigInt(run.start);
      const result = run.zero
        ? this.zero(at, start + BigInt(run.end))
        : this.#write(at, bytes.subarray(run.start, run.end));
      if (isPromise(result)) pending.push(result);
    }
    if (pending.length === 0) return undefined;
    // All have to settle, not just the first that fails: they hold the buffer.
    return pending.length === 1 ? pending[0] : allSettled(pending);
  }

  /** Makes what lies between read as zeroes. `start` is at a block. */
  zero(start: bigint, end: bigint): Awaitable<void> {
    if (this.#isZero) return undefined;
    if (!this.#destination.zero) return this.#writeZeroes(start, end);
    // The source may end within a block of the destination.
    const wholeEnd = end - ((end - start) % BigInt(this.#block));
    if (wholeEnd < end) return this.#zeroAndTail(start, wholeEnd, end);
    return attempt(`zeroing ${this.#name}`, start, () =>
      this.#destination.zero!(start, end - start, {
        noHole: this.#allocated,
        signal: this.#pieces.signal,
      }),
    );
  }

  async flush(): Promise<void> {
    await attempt(`flushing ${this.#name}`, undefined, () =>
      this.#destination.flush?.({ signal: this.#pieces.signal }),
    );
  }

  async #zeroAndTail(start: bigint, wholeEnd: bigint, end: bigint): Promise<void> {
    if (wholeEnd > start) await this.zero(start, wholeEnd);
    await this.#writeZeroes(wholeEnd, end);
  }

  async #writeZeroes(start: bigint, end: bigint): Promise<void> {
    this.#zeroes ??= new Uint8Array(this.#requestSize);
    for (let at = start; at < end && !this.#pieces.hasFailed; at += BigInt(this.#zeroes.length)) {
      const rest = Number(end - at);
      await this.#write(at, rest < this.#zeroes.length ? this.#zeroes.subarray(0, rest) : this.#zeroes);
    }
  }

  #write(start: bigint, bytes: Uint8Array): Awaitable<void> {
    const rest = bytes.length % this.#block;
    if (rest > 0) return this.#writeTail(start, bytes, rest);
    this.#pieces.progress.written += BigInt(bytes.length);
    return attempt(`writing to ${this.#name}`, start, () =>
      this.#destination.write!(start, bytes, { signal: this.#pieces.signal }),
    );
  }

  /** The source may end within a block of the destination: what the block holds beyond that stays as it is. */
  async #writeTail(start: bigint, bytes: Uint8Array, rest: number): Promise<void> {
    const whole = bytes.length - rest;
    if (whole > 0) await this.#write(start, bytes.subarray(0, whole));
    const block = new Uint8Array(this.#block);
    const at = start + BigInt(whole);
    await attempt(`reading the last block of ${this.#name}`, at, () =>
      this.#destination.read(at, block, { signal: this.#pieces.signal }),
    );
    block.set(bytes.subarray(whole));
    await this.#write(at, block);
  }
}

async function allSettled(pending: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(pending)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
