/// <reference lib="es2024.arraybuffer" />

/** Bytes of a block: the unit in which the store takes memory and gives it back. */
export const BLOCK_SIZE = 4096;

/** Slots of a slab, which is thus 1 MiB: few objects, yet often one becomes empty and goes back to the system. */
const SLAB_SLOTS = 256;
const SLAB_SIZE = SLAB_SLOTS * BLOCK_SIZE;

/** While more than this of all slots are free, and more than `SPARE_SLOTS`, blocks are moved together. */
const MOST_FREE = 1 / 2;
const SPARE_SLOTS = 16 * SLAB_SLOTS;
/** A slab that is fuller than this is not worth emptying. Under `MOST_FREE` there are others. */
const MOST_TO_MOVE = (SLAB_SLOTS * 2) / 3;

const NOBODY = -1;

interface Slab {
  /** Over a resizable buffer: shrinking it frees memory at once, where dropping it waits for a garbage collection. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Which block has each slot. */
  readonly owners: Float64Array;
  /** Slots that were given back; the first `freed` elements count. */
  readonly free: Uint8Array;
  freed: number;
  /** Slots from this one on were never taken: they are zeroes still. */
  fresh: number;
}

/** Memory for blocks, in numbered slots. */
export class Slots {
  /** Slots that are taken. */
  taken = 0;
  private readonly moved: (block: number, slot: number) => void;
  /** Slots that there is memory for. */
  capacity = 0;
  private readonly slabs: (Slab | undefined)[] = [];
  /** Numbers of the slabs that have room, `current` not among them. */
  private readonly roomy = new Set<number>();
  /** Numbers of the slabs that are no more. */
  private readonly vacant: number[] = [];
  /** Number of the slab that is filled now. It stays though it may be empty, so that a slab does not come and go. */
  private current = -1;

  /** @param moved is told of a block that `compact` gave another slot */
  constructor(moved: (block: number, slot: number) => void) {
    this.moved = moved;
  }

  /**
   * Makes room for `count` slots to be taken.
   * @throws RangeError if the system has no memory left.
   */
  reserve(count: number): void {
    while (this.capacity - this.taken < count) {
      const bytes = new Uint8Array(new ArrayBuffer(SLAB_SIZE, { maxByteLength: SLAB_SIZE }), 0, SLAB_SIZE);
      const owners = new Float64Array(SLAB_SLOTS).fill(NOBODY);
      const number = this.vacant.pop() ?? this.slabs.length;
      this.slabs[number] = { bytes, owners, free: new Uint8Array(SLAB_SLOTS), freed: 0, fresh: 0 };
      this.roomy.add(number);
      this.capacity += SLAB_SLOTS;
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
    return this.current * SLAB_SLOTS + index;
  }

  give(slot: number): void {
    const number = Math.floor(slot / SLAB_SLOTS);
    const slab = this.slabs[number]!;
    slab.free[slab.freed++] = slot % SLAB_SLOTS;
    slab.owners[slot % SLAB_SLOTS] = NOBODY;
    this.taken--;
    if (number === this.current) return;
    if (slab.freed < slab.fresh) this.roomy.add(number);
    else this.drop(number, slab);
  }

  /**
   * Empties slabs that are mostly free by moving their blocks to others, if many slots are free.
   * @param moves about how many blocks to move at most: work in proportion to what was given back
   */
  compact(moves: number): void {
    let left = moves;
    for (const number of this.roomy) {
      const free = this.capacity - this.taken;
      if (left <= 0 || free <= SPARE_SLOTS || free <= this.capacity * MOST_FREE) return;
      const slab = this.slabs[number]!;
      left--;
      if (slab.fresh - slab.freed > MOST_TO_MOVE) continue;
      left -= slab.fresh - slab.freed;
      this.roomy.delete(number);
      this.evacuate(slab);
      this.drop(number, slab);
    }
  }

  /** The slab of a slot, whose bytes are {@link BLOCK_SIZE} from {@link positionOf} on. */
  slabOf(slot: number): Uint8Array {
    return this.slabs[Math.floor(slot / SLAB_SLOTS)]!.bytes;
  }

  positionOf(slot: number): number {
    return (slot % SLAB_SLOTS) * BLOCK_SIZE;
  }

  /** How many slots there are in its slab from this one on. */
  leftInSlab(slot: number): number {
    return SLAB_SLOTS - (slot % SLAB_SLOTS);
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

  private drop(number: number, slab: Slab): void {
    slab.bytes.buffer.resize(0);
    this.slabs[number] = undefined;
    this.roomy.delete(number);
    this.vacant.push(number);
    this.capacity -= SLAB_SLOTS;
  }

  private slabWithRoom(): Slab {
    const slab = this.slabs[this.current];
    if (slab !== undefined && (slab.freed > 0 || slab.fresh < SLAB_SLOTS)) return slab;
    for (const number of this.roomy) {
      this.roomy.delete(number);
      this.current = number;
      return this.slabs[number]!;
    }
    throw new Error('a slot was taken that was not reserved');
  }
}
