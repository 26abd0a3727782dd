import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { instantiateKernels, kernelMemory } from '../src/kernels.js';
import { CHARACTERISTIC, jumpPolynomial, seededState } from '../src/xoshiro.js';
import { splitmix64, step, take, xoshiro256, type State } from './reference.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyState = fc.tuple(u64, u64, u64, u64);

describe('the reference in plain bigints', () => {
  // The authors' xoshiro256starstar.c, as the tests of the Rust crate rand_xoshiro have it.
  test('draws the published numbers of xoshiro256**', () => {
    expect(take(xoshiro256([1n, 2n, 3n, 4n]), 10)).toEqual([
      11520n,
      0n,
      1509978240n,
      1215971899390074240n,
      1216172134540287360n,
      607988272756665600n,
      16172922978634559625n,
      8476171486693032832n,
      10595114339597558777n,
      2904607092377533576n,
    ]);
  });

  // The authors' splitmix64.c, as on Rosetta Code ("Pseudo-random numbers/Splitmix64").
  test('draws the published numbers of splitmix64', () => {
    expect(take(splitmix64(1234567n), 5)).toEqual([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ]);
  });
});

test('a seed becomes the first four draws of splitmix64', () => {
  expect(seededState(1234567n)).toEqual(take(splitmix64(1234567n), 4));
  fc.assert(
    fc.property(u64, (seed) => {
      expect(seededState(seed)).toEqual(take(splitmix64(seed), 4));
    }),
  );
});

describe('jump polynomials', () => {
  // JUMP and LONG_JUMP of the authors' xoshiro256starstar.c: 2^128 and 2^192 steps, the lowest word first.
  test.each([
    [128, [0x180ec6d33cfd0aban, 0xd5a61266f0c9392cn, 0xa9582618e03fc9aan, 0x39abdc4529b1661cn]],
    [192, [0x76e15d3efefdcbbfn, 0xc5004e441c522fb3n, 0x77710069854ee241n, 0x39109bb02acbe635n]],
  ])('for 2^%i steps is the published one', (exponent, words) => {
    expect(wordsOf(jumpPolynomial(exponent))).toEqual(words);
  });

  test('belong to the characteristic polynomial of the generator', () => {
    fc.assert(
      fc.property(anyState, fc.nat(63), (state, bit) => {
        fc.pre(state.some((word) => word !== 0n));
        expect(minimalPolynomial(bitsOf(state, bit))).toBe(CHARACTERISTIC);
      }),
      { numRuns: 5 },
    );
  });
});

describe('the jump kernel', () => {
  test('goes as far as that many steps', () => {
    fc.assert(
      fc.property(fc.tuple(anyState, anyState, anyState, anyState), fc.nat(12), (states, exponent) => {
        expect(jump(states, jumpPolynomial(exponent))).toEqual(
          states.map((state) => {
            for (let i = 0; i < 2 ** exponent; i++) state = step(state);
            return state;
          }),
        );
      }),
      { numRuns: 20 },
    );
  });

  test('goes twice as far with two jumps as with one', () => {
    fc.assert(
      fc.property(anyState, fc.nat(200), (state, exponent) => {
        const states = [state, state, state, state];
        const once = jumpPolynomial(exponent);
        expect(jump(jump(states, once), once)).toEqual(jump(states, jumpPolynomial(exponent + 1)));
      }),
    );
  });
});

/** The kernel applied to the states of four lanes. */
function jump(states: State[], polynomial: bigint): State[] {
  const memory = kernelMemory(1);
  const kernels = instantiateKernels(memory);
  const words = new BigUint64Array(memory.buffer);
  states.forEach((state, lane) => {
    state.forEach((word, j) => (words[4 * j + lane] = word));
  });
  words.set(wordsOf(polynomial), 16);
  kernels.jump(0, 128);
  return states.map((_, lane) => [0, 4, 8, 12].map((j) => words[j + lane]!) as State);
}

function wordsOf(polynomial: bigint): bigint[] {
  return [0n, 64n, 128n, 192n].map((shift) => BigInt.asUintN(64, polynomial >> shift));
}

/** One bit of s0, over more steps than twice the degree. */
function bitsOf(state: State, bit: number): number[] {
  return Array.from({ length: 600 }, () => {
    const value = Number((state[0] >> BigInt(bit)) & 1n);
    state = step(state);
    return value;
  });
}

/** The shortest linear recurrence of the bits, by the Berlekamp-Massey algorithm. */
function minimalPolynomial(bits: readonly number[]): bigint {
  let [current, before] = [1n, 1n];
  let [length, shift] = [0, 1n];
  bits.forEach((bit, n) => {
    let discrepancy = bit;
    for (let i = 1; i <= length; i++) {
      if ((current >> BigInt(i)) & 1n) discrepancy ^= bits[n - i]!;
    }
    if (discrepancy === 0) {
      shift++;
      return;
    }
    const next = current ^ (before << shift);
    if (2 * length <= n) [length, before, shift] = [n + 1 - length, current, 1n];
    else shift++;
    current = next;
  });
  // Its coefficients count from the latest bit back, a characteristic polynomial's the other way.
  return BigInt(
    `0b${current
      .toString(2)
      .padStart(length + 1, '0')
      .split('')
      .reverse()
      .join('')}`,
  );
}
