// Four generators side by side, "lanes". Word j of lane k is the u64 at `lanes + 32 * j + 8 * k`.

import { draw, lowHalves, rotate45, times5 } from './xoshiro';

/**
 * Moves every lane ahead by as many steps as the polynomial stands for. A step is a linear map A over GF(2), and the
 * polynomial is x^steps modulo A's characteristic polynomial: the new state is the sum of A^i state over the
 * polynomial's terms x^i.
 * @param polynomial 256 coefficients, the lowest bit first
 */
export function jump(lanes: usize, polynomial: usize): void {
  for (let pair: usize = lanes; pair < lanes + 32; pair += 16) {
    let s0 = v128.load(pair);
    let s1 = v128.load(pair, 32);
    let s2 = v128.load(pair, 64);
    let s3 = v128.load(pair, 96);
    let sum0 = i64x2.splat(0);
    let sum1 = i64x2.splat(0);
    let sum2 = i64x2.splat(0);
    let sum3 = i64x2.splat(0);
    for (let term: usize = 0; term < 256; term++) {
      const taken = i64x2.splat(-(((<i64>load<u8>(polynomial + (term >> 3))) >> (term & 7)) & 1));
      sum0 = v128.xor(sum0, v128.and(s0, taken));
      sum1 = v128.xor(sum1, v128.and(s1, taken));
      sum2 = v128.xor(sum2, v128.and(s2, taken));
      sum3 = v128.xor(sum3, v128.and(s3, taken));

      const shifted = i64x2.shl(s1, 17);
      s2 = v128.xor(s2, s0);
      s3 = v128.xor(s3, s1);
      s1 = v128.xor(s1, s2);
      s0 = v128.xor(s0, s3);
      s2 = v128.xor(s2, shifted);
      s3 = rotate45(s3);
    }
    v128.store(pair, sum0);
    v128.store(pair, sum1, 32);
    v128.store(pair, sum2, 64);
    v128.store(pair, sum3, 96);
  }
}

/**
 * Steps every lane `steps` times, a multiple of 8, and notes the draws that are at most `high`. Lane k's notes are u32s from
 * `notes + 4 * steps * k` on, and their number is at `counts + 4 * k`: 2 * (steps * k + step), plus 1 if the draw is
 * at most `low` too.
 *
 * Such draws are rare, so the loop sorts out most others by the upper half of the draw, four lanes at once.
 * With v = 5 s1, the draw is 9 rotl(v, 7); the upper half of rotl(v, 7) is bits 25 to 56 of v, and what 9 times its
 * lower half carries into the upper one is 0 to 8. So the upper half of the draw plus 0 to 8 is `near` below.
 */
export function walk(lanes: usize, steps: u32, low: u64, high: u64, notes: usize, counts: usize): void {
  let a0 = v128.load(lanes);
  let b0 = v128.load(lanes, 16);
  let a1 = v128.load(lanes, 32);
  let b1 = v128.load(lanes, 48);
  let a2 = v128.load(lanes, 64);
  let b2 = v128.load(lanes, 80);
  let a3 = v128.load(lanes, 96);
  let b3 = v128.load(lanes, 112);

  const list0 = notes;
  const list1 = list0 + 4 * steps;
  const list2 = list1 + 4 * steps;
  const list3 = list2 + 4 * steps;
  let end0 = list0;
  let end1 = list1;
  let end2 = list2;
  let end3 = list3;

  const eight = i32x4.splat(8);
  const limit = i32x4.splat(<i32>min<u64>((high >> 32) + 8, u32.MAX_VALUE));

  for (let first: u32 = 0; first < steps; first += 8) {
    // unrolled
    for (let k: u32 = 0; k < 8; k++) {
      const step = first + k;
      const upper = lowHalves(i64x2.shr_u(times5(a1), 25), i64x2.shr_u(times5(b1), 25));
      const near = i32x4.add(i32x4.add(upper, i32x4.shl(upper, 3)), eight);
      if (v128.any_true(i32x4.le_u(near, limit))) {
        end0 = note(i64x2.extract_lane(a1, 0), step, low, high, end0);
        end1 = note(i64x2.extract_lane(a1, 1), step + steps, low, high, end1);
        end2 = note(i64x2.extract_lane(b1, 0), step + 2 * steps, low, high, end2);
        end3 = note(i64x2.extract_lane(b1, 1), step + 3 * steps, low, high, end3);
      }

      const shiftedA = i64x2.shl(a1, 17);
      a2 = v128.xor(a2, a0);
      a3 = v128.xor(a3, a1);
      a1 = v128.xor(a1, a2);
      a0 = v128.xor(a0, a3);
      a2 = v128.xor(a2, shiftedA);
      a3 = rotate45(a3);

      const shiftedB = i64x2.shl(b1, 17);
      b2 = v128.xor(b2, b0);
      b3 = v128.xor(b3, b1);
      b1 = v128.xor(b1, b2);
      b0 = v128.xor(b0, b3);
      b2 = v128.xor(b2, shiftedB);
      b3 = rotate45(b3);
    }
  }

  v128.store(lanes, a0);
  v128.store(lanes, b0, 16);
  v128.store(lanes, a1, 32);
  v128.store(lanes, b1, 48);
  v128.store(lanes, a2, 64);
  v128.store(lanes, b2, 80);
  v128.store(lanes, a3, 96);
  v128.store(lanes, b3, 112);
  store<u32>(counts, (end0 - list0) >> 2);
  store<u32>(counts + 4, (end1 - list1) >> 2);
  store<u32>(counts + 8, (end2 - list2) >> 2);
  store<u32>(counts + 12, (end3 - list3) >> 2);
}

/** @returns the end of the list, after a note if there was one to take */
function note(s1: i64, block: u32, low: u64, high: u64, end: usize): usize {
  const drawn = draw(<u64>s1);
  if (drawn > high) return end;
  store<u32>(end, (block << 1) | u32(drawn <= low));
  return end + 4;
}
