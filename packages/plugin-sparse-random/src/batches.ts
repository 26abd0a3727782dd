import { BLOCK_SIZE } from './blocks.js';
import { instantiateKernels, kernelMemory, type Kernels } from './kernels.js';

/** Blocks of a batch, a multiple of 3: the kernel makes them in threes. Batch n begins at block n * BATCH. */
export const BATCH = 24;

/**
 * Batches in the ring, 33 MiB: a copy tool reads them and then writes them, and by then nbdcopy has read about as much
 * more (4 connections, 64 requests of 256 KiB each, of which half are reads). With 48 MiB such a copy takes a fifth less
 * of the processor, and the server more than 120 MB of memory.
 */
const SLOTS = 352;

const SLOT_SIZE = BATCH * BLOCK_SIZE;

/** States of a slot. Only the thread that makes a batch ends BEING_MADE. */
const MADE = 0;
const WANTED = 1;
const BEING_MADE = 2;

/** Addresses. After the slots is a place for blocks that are needed once. */
const ONCE = SLOTS * SLOT_SIZE;
const STATES = ONCE + SLOT_SIZE;
const NUMBERS = STATES + 4 * SLOTS;
const CONTROL = NUMBERS + 8 * SLOTS;
const MEMORY_SIZE = CONTROL + 8;

/** Indices in the control words: the slot that was needed last, and a count of the batches that were wanted. */
const NEEDED = 0;
const BELL = 1;

/**
 * Batches of random blocks in a ring of slots. One thread, the owner, says what is wanted, and any thread may make it.
 * Nobody ever waits for another thread: a batch is the same whoever makes it, so the owner makes one once more if it
 * needs it before its maker has finished.
 */
export class Batches {
  /** All slots, one after the other. */
  readonly bytes: Buffer;
  readonly #seed: number;
  readonly #kernels: Kernels;
  readonly #states: Int32Array;
  /** Which batch is in each slot. */
  readonly #numbers: Float64Array;
  readonly #control: Int32Array;
  #nextSlot = 0;

  /** Memory for a ring, which the instances in all threads get. */
  static allocate(): WebAssembly.Memory {
    return kernelMemory(MEMORY_SIZE);
  }

  constructor(memory: WebAssembly.Memory, seed: number) {
    this.#seed = seed;
    this.#kernels = instantiateKernels(memory);
    this.bytes = Buffer.from(memory.buffer, 0, STATES);
    this.#states = new Int32Array(memory.buffer, STATES, SLOTS);
    this.#numbers = new Float64Array(memory.buffer, NUMBERS, SLOTS);
    this.#control = new Int32Array(memory.buffer, CONTROL, 2);
  }

  /** Owner: the slot to use next, whose batch is given up. */
  nextSlot(): number {
    let slot = this.#nextSlot;
    while (!this.#canBeReplaced(slot)) slot = (slot + 1) % SLOTS;
    this.#nextSlot = (slot + 1) % SLOTS;
    return slot;
  }

  /** Owner: a batch is to be made in the slot. */
  want(slot: number, batch: number): void {
    this.#numbers[slot] = batch;
    Atomics.store(this.#states, slot, WANTED);
  }

  /** Owner: tells the other threads that something is wanted. */
  ringBell(): void {
    Atomics.add(this.#control, BELL, 1);
    Atomics.notify(this.#control, BELL);
  }

  /**
   * Owner: makes sure that the batch is there.
   * @returns where it is in `bytes`
   */
  need(slot: number): number {
    Atomics.store(this.#control, NEEDED, slot);
    if (!this.#makeIfWanted(slot)) {
      while (Atomics.load(this.#states, slot) === BEING_MADE) {
        if (this.#makeNext()) continue;
        this.#make(slot);
        break;
      }
    }
    return slot * SLOT_SIZE;
  }

  /**
   * Owner: makes up to `BATCH` blocks that are not kept.
   * @returns where they are in `bytes`, until the next call
   */
  makeOnce(block: number, count: number): number {
    this.#kernels.randomBlocks(this.#seed, block, Math.ceil(count / 3), ONCE);
    return ONCE;
  }

  /** Other threads: makes what is wanted, for ever. */
  help(): never {
    for (;;) {
      const bell = Atomics.load(this.#control, BELL);
      if (!this.#makeNext()) Atomics.wait(this.#control, BELL, bell);
    }
  }

  /** The batch that was wanted in the slot last. */
  batchIn(slot: number): number {
    return this.#numbers[slot]!;
  }

  /** Makes the batch that the owner will need next. @returns false if none is wanted */
  #makeNext(): boolean {
    const needed = Atomics.load(this.#control, NEEDED);
    for (let i = 0; i < SLOTS; i++) if (this.#makeIfWanted((needed + i) % SLOTS)) return true;
    return false;
  }

  #makeIfWanted(slot: number): boolean {
    if (Atomics.compareExchange(this.#states, slot, WANTED, BEING_MADE) !== WANTED) return false;
    this.#make(slot);
    Atomics.store(this.#states, slot, MADE);
    return true;
  }

  #make(slot: number): void {
    this.#kernels.randomBlocks(this.#seed, this.#numbers[slot]! * BATCH, BATCH / 3, slot * SLOT_SIZE);
  }

  #canBeReplaced(slot: number): boolean {
    return Atomics.compareExchange(this.#states, slot, WANTED, MADE) !== BEING_MADE;
  }
}
