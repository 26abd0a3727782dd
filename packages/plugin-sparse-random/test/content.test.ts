import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { repeatedContent } from '../src/content.js';
import { randomContent } from '../src/random-content.js';
import { take, xoshiro256Seeded } from './reference.js';

const BLOCK_SIZE = 4096;
const SEEDS = [0, 1, 123_456_789, 2 ** 32 - 1];
const seed = fc.constantFrom(...SEEDS);
const block = fc.oneof(fc.nat(100), fc.integer({ min: 0, max: 2 ** 51 - 300 }));
const skip = fc.oneof(fc.constant(0), fc.nat(BLOCK_SIZE - 1));
const length = fc.oneof(fc.nat(20_000), fc.nat(300_000));

/** The low bytes of a block's generator. */
function lowBytes(seed: number, block: number, count: number): Uint8Array {
  const generator = xoshiro256Seeded(BigInt(seed) + BigInt(block) * BigInt(BLOCK_SIZE));
  return Uint8Array.from(take(generator, count), (draw) => Number(draw & 0xffn));
}

const kinds = [
  {
    kind: 'repeated',
    make: repeatedContent,
    reference: (seed: number, block: number) =>
      new Uint8Array(BLOCK_SIZE).fill(lowBytes(seed, block, 1)[0]! || 1),
  },
  {
    kind: 'random',
    make: randomContent,
    reference: (seed: number, block: number) => lowBytes(seed, block, BLOCK_SIZE),
  },
];

describe.each(kinds)('$kind content', ({ make, reference }) => {
  const contents = new Map(SEEDS.map((seed) => [seed, make(seed)]));
  const of = (seed: number) => contents.get(seed)!;

  test('comes from the generator of each block', () => {
    fc.assert(
      fc.property(seed, block, (seed, block) => {
        const bytes = Buffer.alloc(7 * BLOCK_SIZE);
        of(seed).fill(block, 0, bytes);
        for (let i = 0; i < 7; i++) {
          const filled = bytes.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE);
          expect(Buffer.compare(filled, reference(seed, block + i))).toBe(0);
        }
      }),
      { numRuns: 10 },
    );
  }, 60_000);

  test('is the same from any byte on, for any length', () => {
    fc.assert(
      fc.property(seed, block, skip, length, (seed, block, skip, length) => {
        const content = of(seed);
        const whole = Buffer.alloc(skip + length);
        const part = Buffer.alloc(length + 2, 0xee);
        content.fill(block, 0, whole);
        content.fill(block, skip, part.subarray(1, -1));
        expect(Buffer.compare(part.subarray(1, -1), whole.subarray(skip))).toBe(0);
        expect([part[0], part.at(-1)]).toEqual([0xee, 0xee]);
      }),
    );
  }, 60_000);

  test('is found equal to itself, and the first wrong byte is found', () => {
    fc.assert(
      fc.property(
        fc.record({ seed, block, skip, length: fc.integer({ min: 1, max: 300_000 }) }),
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
          minLength: 1,
          maxLength: 3,
        }),
        fc.integer({ min: 1, max: 255 }),
        ({ seed, block, skip, length }, places, change) => {
          const content = of(seed);
          const bytes = Buffer.alloc(length);
          content.fill(block, skip, bytes);
          expect(content.firstDifference(block, skip, bytes)).toBe(-1);

          const wrong = places.map((place) => Math.floor(place * length));
          const first = Math.min(...wrong);
          const right = bytes[first]!;
          for (const place of new Set(wrong)) bytes[place]! ^= change;
          expect(content.firstDifference(block, skip, bytes)).toBe(first);
          expect(content.byteAt(block, skip + first)).toBe(right);
        },
      ),
    );
  }, 60_000);
});

test('a repeated byte is never 0, which would make data look like a hole', () => {
  const zeroDrawn = Array.from({ length: 2000 }, (_, block) => block).find(
    (block) => lowBytes(1, block, 1)[0] === 0,
  )!;
  expect(repeatedContent(1).byteAt(zeroDrawn, 0)).toBe(1);
});
