import { NbdError, type Awaitable, type ExtentSink, type ReadOptions, type ZeroOptions } from '@nbd/protocol';
import { ABSENT, BlockMap, FIRST_SLOT, HOLE, RESERVED } from './block-map.js';
import { reportExtents } from './extents.js';
import { Grid, type BlockRange } from './grid.js';
import { SideBySide } from './side-by-side.js';
import { BLOCK_SIZE, Slots } from './slots.js';
import { isZero } from './zeroes.js';

/** What is found where a store has nothing of its own. */
export interface Backing {
  /** As a device's: `into` is filled once this has settled. */
  read(offset: bigint, into: Uint8Array): Awaitable<void>;
  /** As a device's. Without it the backing is data all over. */
  extents?(offset: bigint, length: bigint, sink: ExtentSink): Awaitable<void>;
}

export interface SparseStoreOptions {
  /** What the store lies over: it is read where nothing was stored, and never written. Default: zeroes. */
  readonly backing?: Backing;
  /** Most bytes of content to keep, counted in blocks of 4 KiB. Default: no limit. */
  readonly maxBytes?: bigint;
  /**
   * Called when some 33 MiB were let go of. V8 gives them back to the system when it collects garbage the next time,
   * which in a program at rest may be long.
   */
  readonly released?: () => void;
}

/**
 * The content of a disk, kept in memory in blocks of 4 KiB where something was written, with the methods of a
 * `BlockDevice`. They return at once, unless the backing makes them wait. Any number of devices may share a store.
 *
 * ```ts
 * const store = new SparseStore(2n ** 40n, { maxBytes: 2n ** 30n });
 * store.write(2n ** 39n, Uint8Array.of(1, 2, 3));
 * ```
 */
export class SparseStore {
  /** Bytes, 0 to 2^63 - 1. */
  readonly size: bigint;
  private readonly grid: Grid;
  private readonly map: BlockMap;
  private readonly slots: Slots;
  private readonly backing: Backing | undefined;
  private readonly maxBytes: bigint | undefined;
  private readonly maxBlocks: number;
  /** The entry of blocks that are zeroed. */
  private readonly zeroed: number;

  constructor(size: bigint, options: SparseStoreOptions = {}) {
    this.size = size;
    this.grid = new Grid(size);
    this.map = new BlockMap(this.grid.blocks, (slot) => {
      this.slots.give(slot);
    });
    this.slots = new Slots(
      this.grid.blocks,
      (block, slot) => {
        this.map.setSlot(block, slot);
      },
      () => {
        options.released?.();
      },
    );
    this.backing = options.backing;
    this.maxBytes = options.maxBytes;
    this.maxBlocks =
      options.maxBytes === undefined ? Infinity : Number(options.maxBytes / BigInt(BLOCK_SIZE));
    this.zeroed = options.backing === undefined ? ABSENT : HOLE;
  }

  /** Bytes of content that are kept, or promised by `zero` with `noHole`: what `maxBytes` limits. */
  get usedBytes(): bigint {
    return BigInt(this.slots.taken + this.map.reserved) * BigInt(BLOCK_SIZE);
  }

  /** Fills `into`. Fails only as the backing does. */
  read(offset: bigint, into: Uint8Array, options?: ReadOptions): Awaitable<void> {
    if (into.length === 0) return;
    const block = this.grid.blockAt(offset);
    const within = this.grid.withinBlock(offset, block);
    if (within + into.length <= BLOCK_SIZE) {
      const entry = this.map.get(block);
      if (entry >= FIRST_SLOT) {
        this.copyOut(entry - FIRST_SLOT, within, into);
        return;
      }
    }
    return this.readBlocks(block, within, offset, into, options);
  }

  /**
   * Stores `from`. A whole block of zeroes takes no memory where there was none.
   * @throws NbdError ENOSPC if it needs more than `maxBytes`; nothing is written then.
   */
  write(offset: bigint, from: Uint8Array): Awaitable<void> {
    if (from.length === 0) return;
    const block = this.grid.blockAt(offset);
    const within = this.grid.withinBlock(offset, block);
    if (within + from.length <= BLOCK_SIZE) {
      const entry = this.map.get(block);
      if (entry >= FIRST_SLOT) {
        this.copyIn(entry - FIRST_SLOT, within, from);
        return;
      }
    }
    const ready = this.fetchEdges(offset, offset + BigInt(from.length));
    if (ready !== undefined)
      return ready.then(() => {
        this.writeBlocks(block, within, from);
      });
    this.writeBlocks(block, within, from);
  }

  /**
   * Makes a range zeroes and gives its blocks' memory back; with `noHole` they go on counting as used instead.
   * @throws NbdError ENOSPC with `noHole`, if it needs more than `maxBytes`; nothing is changed then.
   */
  zero(offset: bigint, length: bigint, options?: ZeroOptions): Awaitable<void> {
    if (length === 0n) return;
    const noHole = options?.noHole ?? false;
    const ready = this.fetchEdges(offset, offset + length);
    if (ready !== undefined)
      return ready.then(() => {
        this.zeroBlocks(offset, offset + length, noHole);
      });
    this.zeroBlocks(offset, offset + length, noHole);
  }

  /** Makes the whole blocks of a range zeroes and gives their memory back. Parts of blocks stay as they are. */
  trim(offset: bigint, length: bigint): void {
    this.clear(this.grid.whole(offset, offset + length), this.zeroed);
  }

  /** All that was written, is. */
  flush(): void {}

  /** Describes the disk to `sink`, exact to the block. One call takes about a millisecond at most. */
  extents(offset: bigint, length: bigint, sink: ExtentSink): Awaitable<void> {
    return reportExtents(this.map, this.backing, this.size, offset, offset + length, sink);
  }

  private readBlocks(
    first: number,
    within: number,
    offset: bigint,
    into: Uint8Array,
    options: ReadOptions | undefined,
  ): Awaitable<void> {
    const { backing } = this;
    const last = first + Math.ceil((within + into.length) / BLOCK_SIZE) - 1;
    const reads = backing === undefined ? undefined : new SideBySide();
    for (let block = first; block <= last;) {
      const entry = this.map.get(block);
      const next = this.runEnd(block, entry, last + 1);
      const start = Math.max((block - first) * BLOCK_SIZE - within, 0);
      const part = into.subarray(start, (next - first) * BLOCK_SIZE - within);
      if (entry >= FIRST_SLOT) {
        this.copyOut(entry - FIRST_SLOT, block === first ? within : 0, part);
      } else if (entry === ABSENT && backing !== undefined) {
        reads?.start(() => backing.read(offset + BigInt(start), part));
      } else {
        part.fill(0);
        options?.holes?.add(offset + BigInt(start), BigInt(part.length));
      }
      block = next;
    }
    return reads?.settled();
  }

  /** Writes at `within` in block `first`, all at once or not at all. The edges have been fetched. */
  private writeBlocks(first: number, within: number, from: Uint8Array): void {
    const last = first + Math.ceil((within + from.length) / BLOCK_SIZE) - 1;
    const startOf = (block: number): number => Math.max((block - first) * BLOCK_SIZE - within, 0);
    const endOf = (block: number): number => Math.min((block + 1 - first) * BLOCK_SIZE - within, from.length);

    let slots = 0;
    let promised = 0;
    for (let block = first; block <= last; block++) {
      const entry = this.map.get(block);
      if (entry >= FIRST_SLOT || isZero(from, startOf(block), endOf(block))) continue;
      slots++;
      if (entry === RESERVED) promised++;
    }
    this.checkLimit(slots - promised, first);
    this.reserveSlots(slots, first);

    for (let block = first; block <= last; block++) {
      const entry = this.map.get(block);
      if (entry >= FIRST_SLOT) continue;
      if (isZero(from, startOf(block), endOf(block))) {
        if (entry === ABSENT && this.backing !== undefined) this.map.fill(block, block + 1, HOLE);
      } else {
        this.map.setSlot(block, this.slots.take(block, endOf(block) - startOf(block) < BLOCK_SIZE));
      }
    }

    for (let block = first; block <= last;) {
      const entry = this.map.get(block);
      const next = this.runEnd(block, entry, last + 1);
      if (entry >= FIRST_SLOT) {
        const part = from.subarray(startOf(block), endOf(next - 1));
        this.copyIn(entry - FIRST_SLOT, block === first ? within : 0, part);
      }
      block = next;
    }
  }

  /** Where the blocks end, `limit` at the latest, that are like `block`: in slots side by side, or all holes. */
  private runEnd(block: number, entry: number, limit: number): number {
    let next = block + 1;
    if (entry < FIRST_SLOT) {
      while (next < limit && this.map.get(next) === entry) next++;
    } else {
      const slabEnd = block + this.slots.leftInSlab(entry - FIRST_SLOT);
      while (next < limit && next < slabEnd && this.map.get(next) === entry + (next - block)) next++;
    }
    return next;
  }

  private copyOut(slot: number, within: number, into: Uint8Array): void {
    const at = this.slots.positionOf(slot) + within;
    into.set(this.slots.slabOf(slot).subarray(at, at + into.length));
  }

  private copyIn(slot: number, within: number, from: Uint8Array): void {
    this.slots.slabOf(slot).set(from, this.slots.positionOf(slot) + within);
  }

  private zeroBlocks(offset: bigint, end: bigint, noHole: boolean): void {
    if (noHole) {
      const touched = this.grid.touched(offset, end);
      this.checkLimit(this.unusedBlocks(touched), touched.start);
    }
    for (const block of this.grid.edges(offset, end)) this.zeroPart(block, offset, end, noHole);
    this.clear(this.grid.whole(offset, end), noHole ? RESERVED : this.zeroed);
  }

  private clear({ start, end }: BlockRange, entry: number): void {
    if (start >= end) return;
    this.map.fill(start, end, entry);
    this.slots.compact();
  }

  /** Zeroes what of a block lies between two offsets. Where it has no slot, it is zeroes already. */
  private zeroPart(block: number, offset: bigint, end: bigint, noHole: boolean): void {
    const entry = this.map.get(block);
    if (entry >= FIRST_SLOT) {
      const start = this.grid.startOf(block);
      const from = offset > start ? Number(offset - start) : 0;
      const to = Math.min(Number(end - start), BLOCK_SIZE);
      const position = this.slots.positionOf(entry - FIRST_SLOT);
      this.slots.slabOf(entry - FIRST_SLOT).fill(0, position + from, position + to);
    } else if (noHole) {
      this.map.fill(block, block + 1, RESERVED);
    }
  }

  /** Copies the edges of a range from the backing, as far as the store has nothing there. */
  private fetchEdges(offset: bigint, end: bigint): Promise<void> | undefined {
    const { backing } = this;
    if (backing === undefined) return undefined;
    const fetches = new SideBySide();
    for (const block of this.grid.edges(offset, end)) fetches.start(() => this.fetch(backing, block));
    return fetches.settled();
  }

  private fetch(backing: Backing, block: number): Awaitable<void> {
    if (this.map.get(block) !== ABSENT) return;
    const content = new Uint8Array(this.grid.lengthOf(block));
    const keep = (): void => {
      // Another call may have stored the block while this one waited.
      if (this.map.get(block) === ABSENT) this.writeBlocks(block, 0, content);
    };
    const reading = backing.read(this.grid.startOf(block), content);
    if (reading !== undefined) return reading.then(keep);
    keep();
  }

  /** How many of them would count as used only then. */
  private unusedBlocks({ start, end }: BlockRange): number {
    let unused = 0;
    for (let block = start; block < end;) {
      const run = this.map.runAt(block);
      const next = Math.min(run.end, end);
      if (run.entry === ABSENT || run.entry === HOLE) unused += next - block;
      block = next;
    }
    return unused;
  }

  private checkLimit(more: number, block: number): void {
    if (this.slots.taken + this.map.reserved + more <= this.maxBlocks) return;
    throw new NbdError('ENOSPC', `the disk holds the ${String(this.maxBytes)} bytes that it may`, {
      offset: this.grid.startOf(block),
    });
  }

  private reserveSlots(count: number, block: number): void {
    try {
      this.slots.reserve(count);
    } catch (cause) {
      const offset = this.grid.startOf(block);
      throw new NbdError('ENOSPC', 'this machine has no more memory for the disk', { cause, offset });
    }
  }
}
