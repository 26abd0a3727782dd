import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chainOf } from '../src/chain.js';

/** nbdkit's rule: the drawn number, as a double, against the probability times 2^64. */
const leaves = (draw: bigint, probability: number) => Number(draw) <= probability * 2 ** 64;

const percent = fc.double({ min: 0, max: 100, minExcluded: true, maxExcluded: true, noNaN: true });
const runLength = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });

test('the limits are the largest draws that leave a state', () => {
  fc.assert(
    fc.property(percent, runLength, (percent, runLength) => {
      const chain = chainOf(percent, runLength);
      const leaveData = 1 / (Number(runLength) / 4096);
      const leaveHole = ((percent / 100) * leaveData) / (1 - percent / 100);
      for (const [limit, probability] of [
        [chain.leaveData, leaveData],
        [chain.leaveHole, leaveHole],
      ] as const) {
        expect(leaves(limit, probability)).toBe(true);
        expect(limit === 2n ** 64n - 1n || !leaves(limit + 1n, probability)).toBe(true);
      }
    }),
  );
});

test('the default is data for 4096 blocks at a time, and a hole nine times as long', () => {
  const { leaveData, leaveHole } = chainOf(10, 16n << 20n);
  expect(leaveData).toBe(2n ** 52n);
  expect(Number(leaveData) / Number(leaveHole)).toBeCloseTo(9, 12);
});

test('runs shorter than a block end after each block', () => {
  expect(chainOf(50, 1n)).toEqual({ leaveData: 2n ** 64n - 1n, leaveHole: 2n ** 64n - 1n });
});
