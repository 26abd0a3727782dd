import { isPromise, NbdError, type Awaitable, type BlockDevice } from '@nbd/protocol';
import { BufferPool } from '@nbd/transport/pool';
import { attempt, during } from './attempt.js';
import { everything, segments, type Segment } from './segments.js';
import { zeroRuns } from './zeroes.js';

export interface CopyOptions {
  /** Bytes of one read and write, a multiple of 4096; 262 144 unless told otherwise. */
  readonly requestSize?: number;
  /** Reads and writes under way at once; 64. At most `requests * requestSize` bytes are held. */
  readonly requests?: number;
  /** Data that turns out to be zeroes in blocks of so many bytes is made sparse. A power of 2, or 0 for never; 4 096. */
  readonly sparse?: number;
  /** Zeroes are written so that the destination is fully allocated. */
  readonly allocated?: boolean;
  /** The destination reads as zeroes all over: zeroes need not be written. */
  readonly destinationIsZero?: boolean;
  /** Reads everything, whatever the source says of its extents. */
  readonly ignoreExtents?: boolean;
  /** Where to begin, in bytes: what is before is copied already. A multiple of 65 536. */
  readonly start?: bigint;
  /** The destination is flushed before the copy counts as done; true. */
  readonly flush?: boolean;
  readonly signal?: AbortSignal;
  /** Called often, with the same object changed: see {@link Progress}. */
  readonly progress?: (progress: Progress) => void;
}

/** How far a copy is. In bytes. */
export interface Progress {
  readonly size: bigint;
  /** All before it is copied. */
  readonly done: bigint;
  /** Read from the source. */
  readonly read: bigint;
  /** Written to the destination as data. */
  readonly written: bigint;
}

/** Blocks in which data and zeroes are told apart when the source is not asked about smaller ones. */
const GRANULARITY = 4096;

/** A zero longer than this is cut up: for progress, and since some servers take no longer ones. */
const LONGEST_ZERO = 1n << 30n;

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
 * @throws NbdError ENOSPC if the destination is too small (nothing is written), ECANCELED if the signal aborts, and
 *   the first error of either device, with the offset and what was being done in the message. The destination is then
 *   incomplete.
 */
export async function copy(
  source: BlockDevice,
  destination: BlockDevice,
  options: CopyOptions = {},
): Promise<Progress> {
  return new Copier(source, destination, options).run();
}

class Copier {
  readonly #source: BlockDevice;
  readonly #destination: BlockDevice;
  readonly #options: CopyOptions;
  readonly #requestSize: number;
  readonly #requests: number;
  readonly #sparse: number;
  /** The larger of both minimum block sizes, in bytes. */
  readonly #block: number;
  readonly #allocated: boolean;
  readonly #pool: BufferPool;
  readonly #stop = new AbortController();
  readonly #progress: { -readonly [K in keyof Progress]: Progress[K] };
  /** Requests under way, by where they begin. */
  readonly #underWay = new Set<{ start: bigint }>();
  /** All before it is at least under way. */
  #issued: bigint;
  #failure: unknown;
  #hasFailed = false;
  #slotFreed: (() => void) | undefined;
  #sinceTurn = 0;

  constructor(source: BlockDevice, destination: BlockDevice, options: CopyOptions) {
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
    this.#requests = options.requests ?? 64;
    this.#requestSize = Math.min(
      options.requestSize ?? 256 << 10,
      source.info?.blockSize?.maximum ?? Infinity,
      destination.info?.blockSize?.maximum ?? Infinity,
    );
    this.#block = Math.max(source.info?.blockSize?.minimum ?? 1, destination.info?.blockSize?.minimum ?? 1);
    const sparse = options.sparse ?? GRANULARITY;
    this.#sparse = sparse === 0 ? 0 : Math.max(sparse, this.#block);
    this.#allocated = options.allocated ?? false;
    this.#pool = new BufferPool({
      maxIdle: this.#requests * this.#requestSize,
      allocate: (length) => Buffer.allocUnsafeSlow(length),
    });
    this.#issued = options.start ?? 0n;
    this.#progress = { size: source.size, done: this.#issued, read: 0n, written: 0n };
  }

  async run(): Promise<Progress> {
    const { signal } = this.#options;
    this.#check();
    const abort = () => {
      this.#fail(new NbdError('ECANCELED', 'the copy was cancelled', { cause: signal?.reason }));
    };
    signal?.throwIfAborted();
    signal?.addEventListener('abort', abort);
    try {
      await this.#copyAll();
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    return this.#progress;
  }

  #check(): void {
    const { size } = this.#source;
    const destination = this.#destination;
    const room = destination.size;
    if (room < size) {
      throw new NbdError('ENOSPC', `the destination is too small: ${room} bytes, and the source has ${size}`);
    }
    if (!destination.write || destination.info?.readOnly === true)
      throw new NbdError('EROFS', 'the destination is read-only');
  }

  async #copyAll(): Promise<void> {
    try {
      for await (const segment of this.#segments()) {
        if (segment.zero) await this.#copyZeroes(segment);
        else await this.#copyData(segment);
        if (this.#hasFailed) break;
      }
    } catch (error) {
      this.#fail(during('asking the source for its extents', this.#issued, error));
    }
    // Nobody's buffers are in use any more when it is over, whatever the outcome.
    while (this.#underWay.size > 0) await this.#untilSlotFreed();
    if (this.#hasFailed) throw this.#failure;
    if (this.#options.flush !== false) await this.#flush();
    this.#report();
  }

  #segments(): AsyncGenerator<Segment> {
    const start = this.#issued;
    if (this.#options.ignoreExtents === true) return everything(this.#source, start);
    const granularity = BigInt(Math.max(GRANULARITY, this.#block));
    return segments(this.#source, { start, granularity, signal: this.#stop.signal });
  }

  async #copyData({ start, end }: Segment): Promise<void> {
    const step = BigInt(this.#requestSize);
    for (let at = start; at < end && !this.#hasFailed;) {
      // Aligned to the size of requests, so that holes in between do not shift all that follow.
      const boundary = at - (at % step) + step;
      const stop = boundary < end ? boundary : end;
      if (this.#underWay.size >= this.#requests) await this.#untilSlotFreed();
      this.#issue(at, stop, () => this.#copyPiece(at, Number(stop - at)));
      at = stop;
      this.#sinceTurn += this.#requestSize;
      if (this.#sinceTurn >= TURN) await this.#giveWay();
    }
  }

  async #copyZeroes({ start, end }: Segment): Promise<void> {
    if (this.#options.destinationIsZero === true && !this.#allocated) {
      this.#issued = end;
      this.#report();
      return;
    }
    for (let at = start; at < end && !this.#hasFailed;) {
      const stop = at + LONGEST_ZERO < end ? at + LONGEST_ZERO : end;
      if (this.#underWay.size >= this.#requests) await this.#untilSlotFreed();
      this.#issue(at, stop, () => this.#zero(at, stop));
      at = stop;
    }
  }

  /** Starts a piece of work, and keeps account of it until it is done. */
  #issue(start: bigint, end: bigint, work: () => Awaitable<void>): void {
    this.#issued = end;
    let result: Awaitable<void>;
    try {
      result = work();
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!isPromise(result)) {
      this.#report();
      return;
    }
    const entry = { start };
    this.#underWay.add(entry);
    const settled = () => {
      this.#underWay.delete(entry);
      this.#report();
      this.#slotFreed?.();
    };
    result.then(settled, (error: unknown) => {
      this.#fail(error);
      settled();
    });
  }

  #copyPiece(start: bigint, length: number): Awaitable<void> {
    const buffer = this.#pool.take(length);
    const bytes = buffer.subarray(0, length);
    const read = attempt('reading the source', start, () =>
      this.#source.read(start, bytes, { signal: this.#stop.signal }),
    );
    const write = () => {
      this.#progress.read += BigInt(length);
      const written = this.#writePiece(start, bytes);
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

  /** Writes what is data, and zeroes what turned out to be zeroes. */
  #writePiece(start: bigint, bytes: Uint8Array): Awaitable<void> {
    if (this.#sparse === 0 || this.#allocated) return this.#write(start, bytes);
    const pending: Promise<void>[] = [];
    for (const run of zeroRuns(bytes, this.#sparse, Number(start % BigInt(this.#sparse)))) {
      const at = start + BigInt(run.start);
      const result = run.zero
        ? this.#zero(at, start + BigInt(run.end))
        : this.#write(at, bytes.subarray(run.start, run.end));
      if (isPromise(result)) pending.push(result);
    }
    if (pending.length === 0) return undefined;
    // All have to settle, not just the first that fails: they hold the buffer.
    return pending.length === 1 ? pending[0] : allSettled(pending);
  }

  #write(start: bigint, bytes: Uint8Array): Awaitable<void> {
    this.#progress.written += BigInt(bytes.length);
    const rest = bytes.length % this.#block;
    if (rest > 0) return this.#writeTail(start, bytes, rest);
    return attempt('writing to the destination', start, () =>
      this.#destination.write!(start, bytes, { signal: this.#stop.signal }),
    );
  }

  /** The source may end within a block of the destination: what the block holds beyond that stays as it is. */
  async #writeTail(start: bigint, bytes: Uint8Array, rest: number): Promise<void> {
    const whole = bytes.length - rest;
    if (whole > 0) await this.#write(start, bytes.subarray(0, whole));
    const block = new Uint8Array(this.#block);
    const at = start + BigInt(whole);
    const { signal } = this.#stop;
    await attempt("reading the destination's last block", at, () =>
      this.#destination.read(at, block, { signal }),
    );
    block.set(bytes.subarray(whole));
    await attempt('writing to the destination', at, () => this.#destination.write!(at, block, { signal }));
  }

  #zero(start: bigint, end: bigint): Awaitable<void> {
    if (this.#options.destinationIsZero === true && !this.#allocated) return undefined;
    const isWhole = (end - start) % BigInt(this.#block) === 0n;
    if (!this.#destination.zero || !isWhole) return this.#writeZeroes(start, end);
    return attempt('zeroing the destination', start, () =>
      this.#destination.zero!(start, end - start, { noHole: this.#allocated, signal: this.#stop.signal }),
    );
  }

  /** Where the destination has no zero of its own, and for the last block of a disk that ends within it. */
  async #writeZeroes(start: bigint, end: bigint): Promise<void> {
    const zeroes = new Uint8Array(
      Number(end - start < BigInt(this.#requestSize) ? end - start : BigInt(this.#requestSize)),
    );
    for (let at = start; at < end && !this.#hasFailed; at += BigInt(zeroes.length)) {
      const rest = Number(end - at);
      await this.#write(at, rest < zeroes.length ? zeroes.subarray(0, rest) : zeroes);
    }
  }

  async #flush(): Promise<void> {
    await attempt('flushing the destination', 0n, () =>
      this.#destination.flush?.({ signal: this.#stop.signal }),
    );
  }

  /** The first failure is the one to tell; what is under way is asked to stop. */
  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#failure = error;
    this.#stop.abort(error);
  }

  #report(): void {
    // What has failed is not under way any more, and yet not done.
    if (this.#hasFailed) return;
    const { progress } = this.#options;
    // A set keeps its order: the first is the earliest.
    const [earliest] = this.#underWay;
    this.#progress.done = earliest?.start ?? this.#issued;
    progress?.(this.#progress);
  }

  async #untilSlotFreed(): Promise<void> {
    await new Promise<void>((resolve) => (this.#slotFreed = resolve));
    this.#slotFreed = undefined;
  }

  async #giveWay(): Promise<void> {
    this.#sinceTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function allSettled(pending: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(pending)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
