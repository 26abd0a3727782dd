/** Bytes of a block: the unit in which the store takes memory and gives it back. */
export const BLOCK_SIZE = 4096;

/**
 * Slots of a slab, which is thus 33 MiB. glibc gets what is over 32 MiB from the system by itself, so that it is not
 * there before it is touched, and goes back when it is freed; memory in smaller pieces may stay (mallopt(3),
 * M_MMAP_THRESHOLD).
 */
const SLAB_SLOTS = 8448;

/** While more than this of all slots are free, and a slab's worth of them, blocks are moved together. */
const MOST_FREE = 1 / 3;
/** A slab that is fuller than this is not worth emptying. Over `MOST_FREE` there are others. */
const MOST_TO_MOVE = 3 / 4;
/** How many blocks may be moved for each one that is given back. */
const MOVES_PER_BLOCK = 4;

const NOBODY = -1;

interface Slab {
  readonly bytes: Uint8Array;
  /** Which block has each slot. */
  readonly owners: Float64Array;
  /** Slots that were given back; the first `freed` elements count. */
  readonly free: Uint16Array;
  freed: number;
  /** Slots from this one on were never taken: they are zeroes still. */
  fresh: number;
}

/** Memory for blocks, in numbered slots. */
export class Slots {
  /** Slots that are taken. */
  taken = 0;
  /** Slots that there is memory for. */
  capacity = 0;
  /** Slots of a slab: fewer for a small disk. */
  private readonly slabSlots: number;
  private readonly moved: (block: number, slot: number) => void;
  private readonly dropped: () => void;
  /** Blocks that may be moved, for those that were given back. */
  private moves = 0;
  private readonly slabs: (Slab | undefined)[] = [];
  /** Numbers of the slabs that have room, `current` not among them. */
  private readonly roomy = new Set<number>();
  /** Numbers of the slabs that are no more. */
  private readonly vacant: number[] = [];
  /** Number of the slab that is filled now. It stays when it is empty, so as not to come and go. */
  private current = -1;

  /**
   * @param blocks of the disk
   * @param moved is told of a block that has another slot
   * @param dropped is told when a slab was let go of
   */
  constructor(blocks: number, moved: (block: number, slot: number) => void, dropped: () => void) {
    this.slabSlots = Math.min(SLAB_SLOTS, blocks);
    this.moved = moved;
    this.dropped = dropped;
  }

  /**
   * Makes room for `count` slots to be taken.
   * @throws RangeError if the system has no memory left.
   */
  reserve(count: number): void {
    while (this.capacity - this.taken < count) {
      const bytes = new Uint8Array(this.slabSlots * BLOCK_SIZE);
      const owners = new Float64Array(this.slabSlots).fill(NOBODY);
      const number = this.vacant.pop() ?? this.slabs.length;
      this.slabs[number] = { bytes, owners, free: new Uint16Array(this.slabSlots), freed: 0, fresh: 0 };
      this.roomy.add(number);
      this.capacity += this.slabSlots;
    }
  }

  /**
   * Takes a slot, which was reserved, for a block. Its content is zeroes if `cleared`, and otherwise to be
   * overwritten.
   */
  take(block: number, cleared: boolean): number {
    const slab = this.slabWithRoom();
    let index;
    if (slab.freed > 0) {
      index = slab.free[--slab.freed]!;
      if (cleared) slab.bytes.fill(0, index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);
    } else {
      index = slab.fresh++;
    }
    slab.owners[index] = block;
    this.taken++;
    return this.current * this.slabSlots + index;
  }

  give(slot: number): void {
    const number = Math.floor(slot / this.slabSlots);
    const slab = this.slabs[number]!;
    slab.free[slab.freed++] = slot % this.slabSlots;
    slab.owners[slot % this.slabSlots] = NOBODY;
    this.taken--;
    this.moves += MOVES_PER_BLOCK;
    if (number === this.current) return;
    if (slab.freed < slab.fresh) this.roomy.add(number);
    else this.drop(number);
  }

  /** Empties slabs that are mostly free, if many slots are, by moving their blocks to others. */
  compact(): void {
    for (const number of this.roomy) {
      const free = this.capacity - this.taken;
      if (free <= this.slabSlots || free <= this.capacity * MOST_FREE) break;
      const slab = this.slabs[number]!;
      const count = slab.fresh - slab.freed;
      if (count > this.slabSlots * MOST_TO_MOVE) continue;
      if (count > this.moves) return;
      this.moves -= count;
      this.roomy.delete(number);
      this.evacuate(slab);
      this.drop(number);
    }
    this.moves = 0;
  }

  /** The slab of a slot, whose bytes are {@link BLOCK_SIZE} from {@link positionOf} on. */
  slabOf(slot: number): Uint8Array {
    return this.slabs[Math.floor(slot / this.slabSlots)]!.bytes;
  }

  positionOf(slot: number): number {
    return (slot % this.slabSlots) * BLOCK_SIZE;
  }

  /** How many slots there are in its slab from this one on. */
  leftInSlab(slot: number): number {
    return this.slabSlots - (slot % this.slabSlots);
  }

  private evacuate(slab: Slab): void {
    for (let index = 0; index < slab.fresh; index++) {
      const block = slab.owners[index]!;
      if (block === NOBODY) continue;
      const slot = this.take(block, false);
      const content = slab.bytes.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);
      this.slabOf(slot).set(content, this.positionOf(slot));
      this.taken--; // the block's old slot
      this.moved(block, slot);
    }
  }

  private drop(number: number): void {
    this.slabs[number] = undefined;
    this.roomy.delete(number);
    this.vacant.push(number);
    this.capacity -= this.slabSlots;
    this.dropped();
  }

  private slabWithRoom(): Slab {
    const slab = this.slabs[this.current];
    if (slab !== undefined && (slab.freed > 0 || slab.fresh < this.slabSlots)) return slab;
    for (const number of this.roomy) {
      this.roomy.delete(number);
      this.current = number;
      return this.slabs[number]!;
    }
    throw new Error('a slot was taken that was not reserved');
  }
}
