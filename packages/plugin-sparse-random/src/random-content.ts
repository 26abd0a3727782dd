import { BLOCK_SIZE } from './blocks.js';
import { firstDifference } from './compare.js';
import type { Content } from './content.js';
import { instantiateKernels } from './kernels.js';

/** Blocks that the kernel makes in one go; it makes them in threes. */
const BATCH = 63;

/**
 * Blocks that are kept, about 64 MiB: a copy tool reads them and then writes them, and by then nbdcopy has read 64 MiB
 * more (4 connections, 64 requests of 256 KiB each). Making them takes a hundred times as long as comparing.
 */
const SLOTS = 260 * BATCH;

/** Every byte is random: the low bytes of the draws of each block's generator. */
export function randomContent(seed: number): Content {
  const blocks = new KeptBlocks(seed);
  return {
    fill(block, skip, into) {
      for (let start = 0, end = BLOCK_SIZE - skip; start < into.length; start = end, end += BLOCK_SIZE) {
        const at = blocks.find(block++, into.length - start);
        blocks.bytes.copy(into, start, at + skip, at + BLOCK_SIZE);
        skip = 0;
      }
    },

    firstDifference(block, skip, from) {
      for (let start = 0, end = BLOCK_SIZE - skip; start < from.length; start = end, end += BLOCK_SIZE) {
        const at = blocks.find(block++, from.length - start);
        const difference = firstDifference(from, start, Math.min(end, from.length), blocks.bytes, at + skip);
        if (difference !== -1) return difference;
        skip = 0;
      }
      return -1;
    },

    byteAt(block, skip) {
      return blocks.bytes[blocks.find(block + Math.floor(skip / BLOCK_SIZE), 1) + (skip % BLOCK_SIZE)]!;
    },
  };
}

/** The blocks that were made last, in a ring of slots. */
class KeptBlocks {
  readonly #seed: number;
  readonly #kernels = instantiateKernels(SLOTS * BLOCK_SIZE);
  /** All slots. */
  readonly bytes = Buffer.from(this.#kernels.memory.buffer);
  readonly #slotOfBlock = new Map<number, number>();
  readonly #blockInSlot = new Float64Array(SLOTS).fill(-1);
  #nextSlot = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /**
   * Where in `bytes` the block is; good until the next call.
   * @param length bytes from this block on that will be asked for: they are made together
   */
  find(block: number, length: number): number {
    return (this.#slotOfBlock.get(block) ?? this.#make(block, length)) * BLOCK_SIZE;
  }

  #make(block: number, length: number): number {
    const threes = Math.min(Math.ceil(length / (3 * BLOCK_SIZE)), BATCH / 3);
    const first = this.#nextSlot + 3 * threes <= SLOTS ? this.#nextSlot : 0;
    this.#nextSlot = first + 3 * threes;
    this.#kernels.randomBlocks(this.#seed, block, threes, first * BLOCK_SIZE);
    for (let slot = first; slot < this.#nextSlot; slot++, block++) {
      const overwritten = this.#blockInSlot[slot]!;
      if (this.#slotOfBlock.get(overwritten) === slot) this.#slotOfBlock.delete(overwritten);
      this.#blockInSlot[slot] = block;
      this.#slotOfBlock.set(block, slot);
    }
    return first;
  }
}
