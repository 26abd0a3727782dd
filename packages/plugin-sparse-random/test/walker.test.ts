import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Chain } from '../src/chain.js';
import { Walker, WINDOW } from '../src/walker.js';
import { take, xoshiro256Seeded } from './reference.js';

const SEED = 42;
const WINDOWS = 2;
const draws = take(xoshiro256Seeded(BigInt(SEED)), WINDOWS * WINDOW);

/** Twice the block, plus 1 if either state is left. */
function notesOf(walker: Walker, window: number): Uint32Array {
  const notes: number[] = [];
  walker.walk(window, (block, either) => notes.push(2 * block + Number(either)));
  return Uint32Array.from(notes);
}

function expectedNotes({ leaveData, leaveHole }: Chain, window: number): Uint32Array {
  const [low, high] = leaveData < leaveHole ? [leaveData, leaveHole] : [leaveHole, leaveData];
  const notes: number[] = [];
  for (let block = 0; block < WINDOW; block++) {
    const draw = draws[window * WINDOW + block]!;
    if (draw <= high) notes.push(2 * block + Number(draw <= low));
  }
  return Uint32Array.from(notes);
}

/** Limits small and large, some of them exactly at a draw or next to it. */
const limit = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 2n ** 54n }),
  fc.bigInt({ min: 2n ** 64n - 2n ** 36n, max: 2n ** 64n - 1n }),
  fc
    .tuple(fc.nat(draws.length - 1), fc.integer({ min: -1, max: 1 }))
    .map(([i, off]) => BigInt.asUintN(64, draws[i]! + BigInt(off))),
);

test('the draws at or below the limits are noted, in order', () => {
  fc.assert(
    fc.property(limit, limit, fc.nat(WINDOWS - 1), (leaveData, leaveHole, window) => {
      const chain = { leaveData, leaveHole };
      expectSame(notesOf(new Walker(SEED, chain), window), expectedNotes(chain, window));
    }),
    { numRuns: 25 },
  );
}, 60_000);

test('a window has the same draws, whatever was walked before', () => {
  const chain = { leaveData: 2n ** 52n, leaveHole: 2n ** 50n };
  const walker = new Walker(SEED, chain);
  const window = fc.oneof(fc.nat(5), fc.integer({ min: 0, max: 2 ** 35 - 1 }));
  fc.assert(
    fc.property(fc.array(window, { maxLength: 6 }), window, (before, last) => {
      for (const other of before) walker.walk(other, () => undefined);
      expectSame(notesOf(walker, last), notesOf(new Walker(SEED, chain), last));
    }),
    { numRuns: 50 },
  );
}, 60_000);

/** Vitest takes seconds to compare long arrays. */
function expectSame(actual: Uint32Array, expected: Uint32Array): void {
  expect(Buffer.from(actual.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
}
