/**
 * What is known of the generator xoshiro256** without running it. Its state is 256 bits, and a step is a linear map A
 * of them over GF(2). So n steps are A^n, and since A is a root of its characteristic polynomial, A^n is a polynomial
 * in A of degree below 256: x^n modulo the characteristic polynomial. To jump n steps is to apply that polynomial,
 * for the price of 256 steps (D. Blackman, S. Vigna: "Scrambled Linear Pseudorandom Number Generators", ACM TOMS 47,
 * 2021, and the `jump()` of the authors' xoshiro256starstar.c).
 *
 * Polynomials over GF(2) are bigints here: bit i is the coefficient of x^i.
 */

/** The characteristic polynomial of a step; the tests find it again in the generator's output. */
export const CHARACTERISTIC = 0x1_0003c03c3f3ecb19_04b4edcf26259f85_0280002bcefd1a5e_9d116f2bb0f0f001n;

const DEGREE = 256;

/** x^(2^exponent) modulo the characteristic polynomial, by exponent, as far as it was asked for. */
const jumps: bigint[] = [2n];

/** x^(2i) modulo the characteristic polynomial, for i from 0 to 255. */
let evenPowers: readonly bigint[] | undefined;

/** The polynomial that jumps 2^exponent steps. */
export function jumpPolynomial(exponent: number): bigint {
  while (jumps.length <= exponent) jumps.push(square(jumps[jumps.length - 1]!));
  return jumps[exponent]!;
}

/** Over GF(2) the mixed terms of a square cancel out: each x^i becomes x^(2i). */
function square(polynomial: bigint): bigint {
  evenPowers ??= powersOfXSquared();
  let sum = 0n;
  for (let i = 0; polynomial !== 0n; i++, polynomial >>= 1n) {
    if (polynomial & 1n) sum ^= evenPowers[i]!;
  }
  return sum;
}

function powersOfXSquared(): readonly bigint[] {
  const powers: bigint[] = [];
  for (let power = 1n; powers.length < DEGREE; power = timesX(timesX(power))) powers.push(power);
  return powers;
}

function timesX(polynomial: bigint): bigint {
  const product = polynomial << 1n;
  return product >> BigInt(DEGREE) ? product ^ CHARACTERISTIC : product;
}

/** The state that splitmix64 makes of a seed: its first four draws. */
export function seededState(seed: bigint): [bigint, bigint, bigint, bigint] {
  const word = (index: bigint) => {
    // splitmix64's increment is 2^64 divided by the golden ratio, made odd.
    let z = BigInt.asUintN(64, seed + (index + 1n) * 0x9e37_79b9_7f4a_7c15n);
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
    return z ^ (z >> 31n);
  };
  return [word(0n), word(1n), word(2n), word(3n)];
}
