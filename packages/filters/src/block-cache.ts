import { isPromise, type Awaitable, type BlockDevice, type CallOptions } from '@nbd/protocol';
import { SideBySide } from '@nbd/plugin/store';

/** Blocks that are being read, in a row. */
interface Fill {
  /** The first of them. */
  readonly first: number;
  readonly bytes: Uint8Array;
  /** Settles when `bytes` is there; undefined if it was at once. */
  done: Promise<void> | undefined;
}

/** A write, zero or trim that is under way, in bytes. */
interface Change {
  readonly start: bigint;
  readonly end: bigint;
  /** Another touches the same bytes: which of them comes last is not known. */
  contested: boolean;
}

/** Changes `count` bytes of a kept block from `at` on, as `offset` on the disk was changed. */
export type Apply = (block: Uint8Array, at: number, count: number, offset: bigint) => unknown;

/** Longest read to fill blocks with, in bytes. */
const LONGEST_FILL = 1 << 20;

/**
 * Blocks of a disk in memory, the ones used last. Never older than the disk: what was read while a change of the same
 * blocks was under way is given to who asked for it, and not kept.
 */
export class BlockCache {
  readonly #size: bigint;
  readonly #blockSize: number;
  readonly #capacity: number;
  /** In the order of their last use. */
  readonly #blocks = new Map<number, Uint8Array>();
  /** The reads under way whose blocks will be kept, for each block. */
  readonly #fills = new Map<number, Fill>();
  readonly #changes = new Set<Change>();

  /**
   * @param size bytes of the disk
   * @param blockSize bytes, a power of 2 that is a multiple of the disk's minimum block size
   * @param memory bytes to keep at most, besides what is being read
   */
  constructor(size: bigint, blockSize: number, memory: bigint) {
    this.#size = size;
    this.#blockSize = blockSize;
    this.#capacity = Math.max(1, Number(memory / BigInt(blockSize)));
  }

  /** Reads, and keeps what was read. What is longer than a quarter of all memory goes past it. */
  read(device: BlockDevice, offset: bigint, into: Uint8Array, options?: CallOptions): Awaitable<void> {
    if (into.length > (this.#capacity * this.#blockSize) / 4) return device.read(offset, into, options);
    const reads = new SideBySide();
    const end = offset + BigInt(into.length);
    const last = this.#blockAt(end - 1n);
    for (let block = this.#blockAt(offset); block <= last;) {
      const kept = this.#use(block);
      if (kept) {
        copy(kept, this.#startOf(block), offset, into);
        block++;
        continue;
      }
      const fill = this.#fills.get(block) ?? this.#fill(device, block, last);
      const next = fill.first + Math.ceil(fill.bytes.length / this.#blockSize);
      reads.start(() => this.#copyFrom(fill, block, next, device, offset, into, options));
      block = next;
    }
    return reads.settled();
  }

  /** Whether a range is there, or being read. */
  has(offset: bigint, length: number): boolean {
    const last = this.#blockAt(offset + BigInt(length) - 1n);
    for (let block = this.#blockAt(offset); block <= last; block++) {
      if (!this.#blocks.has(block) && !this.#fills.has(block)) return false;
    }
    return true;
  }

  /** Reads what is not there of a range, or of as much of it as half of the memory holds. */
  prefetch(device: BlockDevice, offset: bigint, length: bigint, options?: CallOptions): Awaitable<void> {
    const most = BigInt(Math.max(1, this.#capacity >> 1) * this.#blockSize);
    const end = offset + (length < most ? length : most);
    const reads = new SideBySide();
    const last = this.#blockAt(end - 1n);
    for (let block = this.#blockAt(offset); block <= last;) {
      if (this.#blocks.has(block) || this.#fills.has(block)) {
        block++;
        continue;
      }
      const fill = this.#fill(device, block, last, options);
      reads.start(() => fill.done);
      block = fill.first + Math.ceil(fill.bytes.length / this.#blockSize);
    }
    return reads.settled();
  }

  /** Runs a change of the disk, and does the same to blocks that are kept; without `apply` they are dropped. */
  change(offset: bigint, length: bigint, run: () => Awaitable<void>, apply?: Apply): Awaitable<void> {
    const change: Change = { start: offset, end: offset + length, contested: false };
    for (const other of this.#changes) {
      if (other.start < change.end && change.start < other.end) other.contested = change.contested = true;
    }
    this.#changes.add(change);
    for (const block of this.#within(this.#fills, change)) this.#fills.delete(block);
    const settled = (succeeded: boolean): void => {
      this.#changes.delete(change);
      this.#settle(change, succeeded && !change.contested ? apply : undefined);
    };
    let result: Awaitable<void>;
    try {
      result = run();
    } catch (error) {
      settled(false);
      throw error;
    }
    if (!isPromise(result)) {
      settled(true);
      return;
    }
    return result.then(
      () => {
        settled(true);
      },
      (error: unknown) => {
        settled(false);
        throw error;
      },
    );
  }

  #settle(change: Change, apply: Apply | undefined): void {
    for (const block of this.#within(this.#blocks, change)) {
      const bytes = this.#blocks.get(block)!;
      const start = this.#startOf(block);
      const from = change.start > start ? change.start : start;
      const end = start + BigInt(bytes.length);
      const to = change.end < end ? change.end : end;
      if (apply) apply(bytes, Number(from - start), Number(to - from), from);
      else this.#blocks.delete(block);
    }
  }

  /** The keys of `map` that are blocks with bytes of `change`: found by whichever are fewer. */
  #within(map: ReadonlyMap<number, unknown>, { start, end }: Change): number[] {
    const first = this.#blockAt(start);
    const last = this.#blockAt(end - 1n);
    if (last - first > map.size) return [...map.keys()].filter((block) => block >= first && block <= last);
    const found: number[] = [];
    for (let block = first; block <= last; block++) if (map.has(block)) found.push(block);
    return found;
  }

  /** Reads from `first` on the blocks, `last` at most, that are neither there nor being read. */
  #fill(device: BlockDevice, first: number, last: number, options?: CallOptions): Fill {
    const longest = Math.min(LONGEST_FILL, device.info?.blockSize?.maximum ?? LONGEST_FILL);
    const most = Math.max(1, Math.floor(longest / this.#blockSize));
    let next = first + 1;
    while (next <= last && next - first < most && !this.#blocks.has(next) && !this.#fills.has(next)) next++;

    const start = this.#startOf(first);
    const rest = this.#size - start;
    const length = (next - first) * this.#blockSize;
    const bytes = new Uint8Array(rest < BigInt(length) ? Number(rest) : length);
    const end = start + BigInt(bytes.length);
    for (const change of this.#changes) {
      // What is read now may be older than the change is when it settles: not to be kept.
      if (change.start < end && start < change.end) {
        return { first, bytes, done: readWhole(device, start, bytes, options) };
      }
    }

    const done = readWhole(device, start, bytes, options);
    const fill: Fill = { first, bytes, done };
    if (done === undefined) {
      this.#keep(fill, () => true);
      return fill;
    }
    for (let block = first; block < next; block++) this.#fills.set(block, fill);
    const isWanted = (block: number): boolean => this.#fills.get(block) === fill && this.#fills.delete(block);
    const settled = done.then(
      () => {
        this.#keep(fill, isWanted);
      },
      (error: unknown) => {
        for (let block = first; block < next; block++) isWanted(block);
        throw error;
      },
    );
    // Whoever waits for it sees the error; a fill that nobody waits for may fail.
    settled.catch(() => undefined);
    fill.done = settled;
    return fill;
  }

  #keep({ first, bytes }: Fill, isWanted: (block: number) => boolean): void {
    const isSingle = bytes.length <= this.#blockSize;
    for (let at = 0, block = first; at < bytes.length; at += this.#blockSize, block++) {
      if (!isWanted(block)) continue;
      // A copy, for one block not to hold the memory of all that were read with it.
      this.#blocks.set(block, isSingle ? bytes : bytes.slice(at, at + this.#blockSize));
    }
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#capacity) break;
      this.#blocks.delete(oldest);
    }
  }

  /** Copies what a fill has of the blocks from `block` up to `next`. */
  #copyFrom(
    fill: Fill,
    block: number,
    next: number,
    device: BlockDevice,
    offset: bigint,
    into: Uint8Array,
    options: CallOptions | undefined,
  ): Awaitable<void> {
    const start = this.#startOf(fill.first);
    if (fill.done === undefined) {
      copy(fill.bytes, start, offset, into);
      return;
    }
    const end = offset + BigInt(into.length);
    const from = this.#startOf(block) > offset ? this.#startOf(block) : offset;
    const to = this.#startOf(next) < end ? this.#startOf(next) : end;
    const part = into.subarray(Number(from - offset), Number(to - offset));
    return fill.done.then(
      () => {
        copy(fill.bytes, start, from, part);
      },
      // What failed may be a neighbouring byte, or another's connection that is gone.
      () => device.read(from, part, options),
    );
  }

  #use(block: number): Uint8Array | undefined {
    const bytes = this.#blocks.get(block);
    if (bytes) {
      this.#blocks.delete(block);
      this.#blocks.set(block, bytes);
    }
    return bytes;
  }

  #blockAt(offset: bigint): number {
    return Number(offset / BigInt(this.#blockSize));
  }

  #startOf(block: number): bigint {
    return BigInt(block) * BigInt(this.#blockSize);
  }
}

/** A read that is over at once returns nothing; one that throws at once is told like one that fails later. */
function readWhole(
  device: BlockDevice,
  offset: bigint,
  into: Uint8Array,
  options: CallOptions | undefined,
): Promise<void> | undefined {
  try {
    const result = device.read(offset, into, options);
    return isPromise(result) ? result : undefined;
  } catch (error) {
    return Promise.resolve().then(() => {
      throw error;
    });
  }
}

/** Copies what `bytes`, which begin at `start` of the disk, have of the range that `into` is of. */
function copy(bytes: Uint8Array, start: bigint, offset: bigint, into: Uint8Array): void {
  const skip = offset > start ? Number(offset - start) : 0;
  const at = start > offset ? Number(start - offset) : 0;
  into.set(bytes.subarray(skip, skip + into.length - at), at);
}
