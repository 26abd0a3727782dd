/// <reference lib="es2024.arraybuffer" />

/** Bytes of a block: the unit in which the store takes memory and gives it back. */
export const BLOCK_SIZE = 4096;

/** Slots of a slab, which is thus 1 MiB: few objects, yet often one becomes empty and goes back to the system. */
const SLAB_SLOTS = 256;
const SLAB_SIZE = SLAB_SLOTS * BLOCK_SIZE;

interface Slab {
  /** Over a resizable buffer: shrinking it frees memory at once, where dropping it waits for a garbage collection. */
  readonly bytes: Uint8Array<ArrayBuffer>;
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
  /** Slots that there is memory for. */
  private capacity = 0;
  private readonly slabs: (Slab | undefined)[] = [];
  /** Numbers of the slabs that have room, `current` not among them. */
  private readonly roomy = new Set<number>();
  /** Numbers of the slabs that are no more. */
  private readonly vacant: number[] = [];
  /** Number of the slab that is filled now. It stays though it may be empty, so that a slab does not come and go. */
  private current = -1;

  /**
   * Makes room for `count` slots to be taken.
   * @throws RangeError if the system has no memory left.
   */
  reserve(count: number): void {
    while (this.capacity - this.taken < count) {
      const bytes = new Uint8Array(new ArrayBuffer(SLAB_SIZE, { maxByteLength: SLAB_SIZE }), 0, SLAB_SIZE);
      const number = this.vacant.pop() ?? this.slabs.length;
      this.slabs[number] = { bytes, free: new Uint8Array(SLAB_SLOTS), freed: 0, fresh: 0 };
      this.roomy.add(number);
      this.capacity += SLAB_SLOTS;
    }
  }

  /** Takes a slot that was reserved. Its content is zeroes if `cleared`, and otherwise to be overwritten. */
  take(cleared: boolean): number {
    const slab = this.slabWithRoom();
    let index;
    if (slab.freed > 0) {
      index = slab.free[--slab.freed]!;
      if (cleared) slab.bytes.fill(0, index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);
    } else {
      index = slab.fresh++;
    }
    this.taken++;
    return this.current * SLAB_SLOTS + index;
  }

  give(slot: number): void {
    const number = Math.floor(slot / SLAB_SLOTS);
    const slab = this.slabs[number]!;
    slab.free[slab.freed++] = slot % SLAB_SLOTS;
    this.taken--;
    if (number === this.current) return;
    if (slab.freed < slab.fresh) {
      this.roomy.add(number);
    } else {
      slab.bytes.buffer.resize(0);
      this.slabs[number] = undefined;
      this.roomy.delete(number);
      this.vacant.push(number);
      this.capacity -= SLAB_SLOTS;
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
