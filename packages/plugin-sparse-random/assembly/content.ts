// What data blocks hold. Each has a generator of its own, seeded with the disk's seed plus the block's offset in bytes.

import { draw, rotate45, seedWord, times5 } from './xoshiro';

const BLOCK_SIZE: u64 = 4096;

/**
 * The byte that a block is filled with: the low byte of its generator's first draw, or 1 where that is 0.
 * @param block a whole number below 2^53; f64 because a JavaScript number becomes one for nothing
 */
export function repeatedByte(seed: u32, block: f64): u32 {
  const byte = <u8>draw(seedWord(<u64>block * BLOCK_SIZE + seed, 1));
  return byte == 0 ? 1 : byte;
}

/**
 * Puts blocks of random bytes, the low bytes of one draw each, at `into`. They are made in threes, `threes` times
 * three: two in the lanes of vectors, one in ordinary registers, because processors have separate units for either
 * (Zen 3: 0.65 ns a byte; four in vectors 0.95 ns, one in registers 1.0 ns).
 *
 * With v = 5 s1, the draw is 9 rotl(v, 7), and its low byte 9 times the low byte of rotl(v, 7), which is the top byte
 * of v rotated right by 1. In vectors the top bytes of 8 draws are gathered, and multiplied by 9 all together.
 */
export function randomBlocks(seed: u32, block: f64, threes: u32, into: usize): void {
  const topByte = i64x2.splat(0xff00000000000000);
  let blockSeed = <u64>block * BLOCK_SIZE + seed;

  for (let i: u32 = 0; i < threes; i++) {
    let a0 = seedPair(blockSeed, 0);
    let a1 = seedPair(blockSeed, 1);
    let a2 = seedPair(blockSeed, 2);
    let a3 = seedPair(blockSeed, 3);
    blockSeed += 2 * BLOCK_SIZE;
    let s0 = seedWord(blockSeed, 0);
    let s1 = seedWord(blockSeed, 1);
    let s2 = seedWord(blockSeed, 2);
    let s3 = seedWord(blockSeed, 3);
    blockSeed += BLOCK_SIZE;

    for (const end = into + <usize>BLOCK_SIZE; into < end; into += 8) {
      let gathered = i64x2.splat(0);
      // unrolled
      for (let k: usize = 0; k < 8; k++) {
        const v = times5(a1);
        const rotated = v128.or(i64x2.shr_u(v, 1), i64x2.shl(v, 63));
        gathered = v128.or(i64x2.shr_u(gathered, 8), v128.and(rotated, topByte));
        const shiftedA = i64x2.shl(a1, 17);
        a2 = v128.xor(a2, a0);
        a3 = v128.xor(a3, a1);
        a1 = v128.xor(a1, a2);
        a0 = v128.xor(a0, a3);
        a2 = v128.xor(a2, shiftedA);
        a3 = rotate45(a3);

        store<u8>(into + 2 * <usize>BLOCK_SIZE + k, <u8>draw(s1));
        const shifted = s1 << 17;
        s2 ^= s0;
        s3 ^= s1;
        s1 ^= s2;
        s0 ^= s3;
        s2 ^= shifted;
        s3 = rotl<u64>(s3, 45);
      }
      const bytes = i8x16.add(gathered, i8x16.shl(gathered, 3));
      v128.store64_lane(into, bytes, 0);
      v128.store64_lane(into + <usize>BLOCK_SIZE, bytes, 1);
    }
    into += 2 * <usize>BLOCK_SIZE;
  }
}

/** Word `index` of the states of two neighbouring blocks. */
function seedPair(blockSeed: u64, index: u64): v128 {
  return i64x2.replace_lane(
    i64x2.splat(seedWord(blockSeed, index)),
    1,
    seedWord(blockSeed + BLOCK_SIZE, index),
  );
}
