import { BLOCK_SIZE } from './blocks.js';

/**
 * A Markov chain with two states, hole and data, that decides the blocks one after the other. The first block is a
 * hole; after each block one number is drawn, evenly from 0 to 2^64 - 1, and if it is at most the limit of the
 * block's state, the next block has the other state.
 */
export interface Chain {
  /** The largest draw that ends a run of data. */
  readonly leaveData: bigint;
  /** The largest draw that ends a hole. */
  readonly leaveHole: bigint;
}

/** The largest draw there is. */
const LARGEST = 2n ** 64n - 1n;

/**
 * The chain that spends `percent` of the blocks in data, in runs of `runLength` bytes on average. Data is left with
 * the probability 1 / run length in blocks; a hole is left as often, hence with that times percent / (100 - percent).
 *
 * The order of the floating-point operations is nbdkit's, so that the last bit of each limit is the same.
 * @param percent above 0 and below 100
 */
export function chainOf(percent: number, runLength: bigint): Chain {
  const share = percent / 100;
  const leaveData = 1 / (Number(runLength) / BLOCK_SIZE);
  const leaveHole = (share * leaveData) / (1 - share);
  return { leaveData: largestDraw(leaveData), leaveHole: largestDraw(leaveHole) };
}

/**
 * Blocks to look back, on average, to know the state of one: to a draw after which the state is the same whatever it
 * was before. Infinity if there is none, and 0 if every draw turns the state over, so that it goes by the number.
 */
export function averageLookBack({ leaveData, leaveHole }: Chain): number {
  if (leaveData === LARGEST && leaveHole === LARGEST) return 0;
  return 2 ** 64 / Math.abs(Number(leaveData - leaveHole));
}

/**
 * The largest draw that, as a double, is at most `probability` times 2^64. Drawn numbers round on the way to a
 * double, so it is searched for rather than calculated.
 */
function largestDraw(probability: number): bigint {
  const limit = probability * 2 ** 64;
  let largest = 0n;
  for (let bit = 1n << 63n; bit > 0n; bit >>= 1n) {
    if (Number(largest | bit) <= limit) largest |= bit;
  }
  return largest;
}
