import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chainOf } from '../src/chain.js';
import { createMap, type DiskMap, type MapOptions } from '../src/map.js';
import { take, xoshiro256Seeded } from './reference.js';

const MiB = 1n << 20n;
/** 12 500 blocks less than four windows. */
const BLOCKS = 249_644;

const draws = new Map<number, bigint[]>();

/** Every block in turn, by the rule in its simplest form. */
function walkAll({ seed, percent, runLength }: MapOptions): Uint8Array {
  const known = draws.get(seed) ?? take(xoshiro256Seeded(BigInt(seed)), BLOCKS);
  draws.set(seed, known);
  const { leaveData, leaveHole } = chainOf(percent, runLength);
  const blocks = new Uint8Array(BLOCKS);
  let data = false;
  for (let block = 0; block < BLOCKS; block++) {
    blocks[block] = Number(data);
    if (known[block]! <= (data ? leaveData : leaveHole)) data = !data;
  }
  return blocks;
}

async function visited(map: DiskMap, first: number, end: number): Promise<Uint8Array> {
  const blocks = new Uint8Array(end - first).fill(2);
  let next = first;
  const visit = (data: boolean, start: number, runEnd: number) => {
    if (start !== next || runEnd <= start || runEnd > end)
      throw new Error(`visited ${start} up to ${runEnd}`);
    blocks.fill(Number(data), start - first, runEnd - first);
    next = runEnd;
    return true;
  };
  await map.visit(first, end, visit);
  expect(next).toBe(end);
  return blocks;
}

describe.each<MapOptions>([
  { seed: 0, percent: 10, runLength: 16n * MiB },
  { seed: 1, percent: 10, runLength: MiB },
  { seed: 1, percent: 90, runLength: MiB },
  { seed: 1, percent: 50, runLength: 16n * MiB },
  { seed: 1, percent: 49.9, runLength: MiB },
  { seed: 2 ** 32 - 1, percent: 33, runLength: 5000n },
  { seed: 2 ** 32 - 1, percent: 30, runLength: 4096n },
  { seed: 2 ** 32 - 1, percent: 70, runLength: 100n },
])('the map of %o', (options) => {
  test('is the chain, whatever part of it is asked for first', async () => {
    const all = walkAll(options);
    const range = fc
      .tuple(fc.nat(BLOCKS - 1), fc.integer({ min: 1, max: BLOCKS }))
      .map(([first, length]) => ({
        first,
        end: Math.min(first + length, BLOCKS),
      }));
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 3 }), async (ranges) => {
        const map = createMap(options);
        for (const { first, end } of ranges) {
          const blocks = await visited(map, first, end);
          expect(Buffer.compare(blocks, all.subarray(first, end))).toBe(0);
        }
      }),
      { numRuns: 10 },
    );
  }, 60_000);
});

test.each([0, 100])('percent=%i is one piece, however large', async (percent) => {
  const pieces: unknown[] = [];
  const map = createMap({ seed: 1, percent, runLength: MiB });
  await map.visit(3, 2 ** 51, (...piece) => pieces.push(piece) > 0);
  expect(pieces).toEqual([[percent === 100, 3, 2 ** 51]]);
});

test('no blocks, no pieces', async () => {
  for (const percent of [0, 10]) {
    await createMap({ seed: 1, percent, runLength: MiB }).visit(7, 7, () => {
      throw new Error('visited');
    });
  }
});

test('the visitor stops the walk', async () => {
  const map = createMap({ seed: 1, percent: 20, runLength: 8192n });
  let pieces = 0;
  await map.visit(0, 2 ** 51, () => ++pieces < 100_000);
  expect(pieces).toBe(100_000);
});

test('what is no longer kept is computed again', async () => {
  // Every second block: a window takes half a megabyte.
  const map = createMap({ seed: 5, percent: 50, runLength: 10_000n });
  const windows = [0, 20, 19, 40, 60, 61, 0, 21, 19];
  const runs = await Promise.all(
    windows.map((window) => visited(map, window * 65_536, window * 65_536 + 70_000)),
  );
  const again = createMap({ seed: 5, percent: 50, runLength: 10_000n });
  const whole = await visited(again, 0, 62 * 65_536 + 4464);
  windows.forEach((window, i) => {
    expect(Buffer.compare(runs[i]!, whole.subarray(window * 65_536, window * 65_536 + 70_000))).toBe(0);
  });
}, 60_000);

describe('where no draw forces the state', { timeout: 60_000 }, () => {
  const options = { seed: 3, percent: 50, runLength: 16n * MiB };
  const far = 2000 * 65_536;

  test('a look back to the start lets other work happen', async () => {
    const map = createMap(options);
    let turns = 0;
    const count = () => {
      turns++;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const blocks = await visited(map, far, far + 100_000);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThan(20);

    const walked = createMap(options);
    await walked.visit(0, far, () => true);
    expect(Buffer.compare(blocks, await visited(walked, far, far + 100_000))).toBe(0);
  }, 60_000);

  test('what was found once is known', async () => {
    const map = createMap(options);
    await visited(map, far, far + 1);
    expect(map.visit(far + 65_536, far + 65_537, () => true)).toBeUndefined();
    expect(map.visit(far, far + 1, () => true)).toBeUndefined();
  });

  test('the caller can give up, and others go on', async () => {
    const map = createMap(options);
    const abort = new AbortController();
    const abandoned = map.visit(far, far + 1, () => true, abort.signal);
    const other = visited(map, far, far + 1);
    abort.abort();
    await expect(abandoned).rejects.toThrow('abort');
    expect(await other).toHaveLength(1);
  });

  test('a look back of more than a minute is refused, reading on is not', () => {
    const map = createMap(options);
    expect(() => map.visit(2 ** 50, 2 ** 50 + 1, () => true)).toThrow(
      expect.objectContaining({ code: 'EIO', message: expect.stringContaining('a minute') as string }),
    );
    expect(map.visit(0, 100_000, () => true)).toBeUndefined();
  });

  test('unless every draw turns the state over', async () => {
    const map = createMap({ ...options, runLength: 4096n });
    expect(await visited(map, 2 ** 50 - 2, 2 ** 50 + 3)).toEqual(Uint8Array.of(0, 1, 0, 1, 0));
  });
});
