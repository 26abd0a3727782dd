// The generator xoshiro256** and its seeding by splitmix64 (D. Blackman, S. Vigna: "Scrambled Linear Pseudorandom
// Number Generators", ACM TOMS 47, 2021), as far as the kernels share it. A state is four words, s0 to s3.

/** splitmix64's increment: 2^64 divided by the golden ratio, made odd. */
const GOLDEN_GAMMA: u64 = 0x9e3779b97f4a7c15;

/** Word `index` of the state that splitmix64 makes of `seed`: its draw number `index`, counted from 0. */
export function seedWord(seed: u64, index: u64): u64 {
  let z = seed + (index + 1) * GOLDEN_GAMMA;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/** The draw of a state: the scrambler "starstar". */
export function draw(s1: u64): u64 {
  return rotl<u64>(s1 * 5, 7) * 9;
}

/** Rotates both 64-bit lanes left by 45. */
export function rotate45(x: v128): v128 {
  return v128.or(i64x2.shl(x, 45), i64x2.shr_u(x, 19));
}

/** Multiplies both 64-bit lanes by 5: SSE and NEON have no such multiplication. */
export function times5(x: v128): v128 {
  return i64x2.add(x, i64x2.shl(x, 2));
}

/** The lower 32 bits of the four 64-bit lanes of `a` and `b`. */
export function lowHalves(a: v128, b: v128): v128 {
  // prettier-ignore
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
}
