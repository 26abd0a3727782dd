import { BLOCK_SIZE } from './blocks.js';
import { firstOtherThan } from './compare.js';
import { instantiateKernels, kernelMemory } from './kernels.js';

/** What data blocks hold. */
export interface Content {
  /** Fills `into` with what is there from byte `skip` of the block on, over as many blocks as it takes. */
  fill(block: number, skip: number, into: Buffer): void;
  /** The index of the first byte in which `from` differs from what {@link fill} puts there, or -1. */
  firstDifference(block: number, skip: number, from: Buffer): number;
  /** The byte at `skip`, which may be in a later block. */
  byteAt(block: number, skip: number): number;
  /** Ends what works for it. */
  close?(): Promise<void>;
}

/** Every block is filled with one byte of its own, never 0. */
export function repeatedContent(seed: number): Content {
  const { repeatedByte } = instantiateKernels(kernelMemory(0));
  return {
    fill(block, skip, into) {
      for (let start = 0, end = BLOCK_SIZE - skip; start < into.length; start = end, end += BLOCK_SIZE) {
        into.fill(repeatedByte(seed, block++), start, Math.min(end, into.length));
      }
    },

    firstDifference(block, skip, from) {
      for (let start = 0, end = BLOCK_SIZE - skip; start < from.length; start = end, end += BLOCK_SIZE) {
        const difference = firstOtherThan(
          repeatedByte(seed, block++),
          from,
          start,
          Math.min(end, from.length),
        );
        if (difference !== -1) return difference;
      }
      return -1;
    },

    byteAt: (block, skip) => repeatedByte(seed, block + Math.floor(skip / BLOCK_SIZE)),
  };
}
