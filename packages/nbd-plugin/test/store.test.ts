import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SparseStore } from '../src/store/index.js';
import { PatternBacking, StoreModel } from './store-model.js';

const BLOCK = 4096;
const GIANT = 2n ** 63n - 1n;

/** Places that a mistake in 32, 53 or 63 bits would mix up; the operations lie in the 64 KiB after each. */
const ISLANDS = [
  0n,
  2n ** 31n - 8192n,
  2n ** 32n - 4096n,
  2n ** 53n - 12288n,
  2n ** 62n + 5n,
  GIANT - 65536n,
];
const ISLAND_SIZE = 65536;

const place = fc.record({
  island: fc.nat(ISLANDS.length - 1),
  start: fc.nat(ISLAND_SIZE - 1),
  length: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 40_000 })),
  aligned: fc.boolean(),
});

const operation = fc.record({
  kind: fc.constantFrom(
    'write',
    'write',
    'writeZeroes',
    'mixed',
    'zero',
    'reserve',
    'trim',
    'read',
    'extents',
  ),
  place,
  seed: fc.nat(255),
});

function rangeOf(at: typeof place extends fc.Arbitrary<infer T> ? T : never): {
  offset: bigint;
  length: number;
} {
  const start = at.aligned ? at.start - (at.start % BLOCK) : at.start;
  const end = Math.min(start + (at.aligned ? Math.ceil(at.length / BLOCK) * BLOCK : at.length), ISLAND_SIZE);
  const offset = ISLANDS[at.island]! + BigInt(start);
  return { offset: at.aligned ? offset - (offset % BigInt(BLOCK)) : offset, length: end - start };
}

function bytesOf(kind: string, seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const zero = kind === 'writeZeroes' || (kind === 'mixed' && (Math.floor(i / 5000) + seed) % 2 === 0);
    bytes[i] = zero ? 0 : ((i * 7 + seed) % 255) + 1;
  }
  return bytes;
}

async function flagsOf(store: SparseStore, offset: bigint, length: bigint): Promise<number[]> {
  const flags: number[] = [];
  for (let at = offset; at < offset + length;) {
    let last = -1;
    await store.extents(at, offset + length - at, {
      add(extent, state) {
        if (extent <= 0n || state === last) throw new Error(`extent of ${String(extent)} bytes, not merged`);
        last = state;
        for (const end = at + extent; at < end && at < offset + length; at += 512n) flags.push(state);
        return at < offset + length;
      },
    });
    expect(last).not.toBe(-1);
  }
  return flags;
}

describe.each([
  ['over nothing', undefined],
  ['over a backing', new PatternBacking(false)],
  ['over a slow backing', new PatternBacking(true)],
])('a store %s', (_name, backing) => {
  test('holds what a map of blocks holds, through random operations', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 60 }), async (operations) => {
        const store = new SparseStore(GIANT, backing === undefined ? {} : { backing });
        const model = new StoreModel(GIANT, backing);
        for (const { kind, place, seed } of operations) {
          const { offset, length } = rangeOf(place);
          if (kind === 'read') {
            const into = new Uint8Array(length).fill(0xee);
            await store.read(offset, into);
            expect(Buffer.compare(into, model.read(offset, length))).toBe(0);
          } else if (kind === 'extents') {
            const start = offset - (offset % 512n);
            const window = GIANT - start < 65536n ? GIANT - start : 65536n;
            expect(await flagsOf(store, start, window)).toEqual(model.flags(start, window));
          } else if (kind === 'zero' || kind === 'reserve') {
            await store.zero(offset, BigInt(length), { noHole: kind === 'reserve' });
            model.zero(offset, BigInt(length), kind === 'reserve');
          } else if (kind === 'trim') {
            store.trim(offset, BigInt(length));
            model.trim(offset, BigInt(length));
          } else {
            const from = bytesOf(kind, seed, length);
            await store.write(offset, from);
            model.write(offset, from);
          }
          expect(store.usedBytes).toBe(model.usedBytes);
        }
        for (const island of ISLANDS) {
          const into = new Uint8Array(ISLAND_SIZE);
          await store.read(island, into);
          expect(Buffer.compare(into, model.read(island, ISLAND_SIZE))).toBe(0);
        }
      }),
      { numRuns: 100 },
    );
  }, 60_000);
});
