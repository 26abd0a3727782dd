import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ExtentFlag } from '@nbd/protocol';
import data from '../src/index.js';
import { bytesOf, extentsOf, open, read, type Extent } from './disk.js';
import { sample } from './naive.js';

const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;

test('every string means what plain expansion makes of it', async () => {
  await fc.assert(
    fc.asyncProperty(sample, fc.nat(), fc.nat(), async ({ text, variables, bytes }, a, b) => {
      const device = await open(await data.create({ data: text, rest: variables }));
      expect(device.size).toBe(BigInt(bytes.length));
      expect(Buffer.compare(await bytesOf(device), bytes)).toBe(0);
      const [from, to] = [a % (bytes.length + 1), b % (bytes.length + 1)].sort((x, y) => x - y) as [
        number,
        number,
      ];
      expect(Buffer.compare(await read(device, BigInt(from), to - from), bytes.subarray(from, to))).toBe(0);
    }),
    { numRuns: 500 },
  );
}, 60_000);

test('extents tell what is written from what is not, to the byte and merged, from anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(sample, fc.nat(), fc.nat(), async ({ text, variables, bytes, written }, a, b) => {
      fc.pre(bytes.length > 0);
      const device = await open(await data.create({ data: text, rest: variables }));
      const [from, last] = [a % bytes.length, b % bytes.length].sort((x, y) => x - y) as [number, number];
      const extents = await extentsOf(device, BigInt(from), BigInt(last + 1 - from));

      let at = from;
      for (const [i, { length, flags }] of extents.entries()) {
        if (i > 0) expect(flags).not.toBe(extents[i - 1]!.flags);
        if (flags === ExtentFlag.ZERO) {
          expect(bytes.subarray(at, at + Number(length)).every((byte) => byte === 0)).toBe(true);
        }
        at += Number(length);
      }
      expect(withoutZeroes(extents)).toEqual(runsOf(written.subarray(from, last + 1)));
    }),
    { numRuns: 500 },
  );
}, 60_000);

/** With extents that are known to be zeroes taken for the data that they are. */
function withoutZeroes(extents: readonly Extent[]): Extent[] {
  const joined: Extent[] = [];
  for (const { length, flags } of extents) {
    const kind = flags === HOLE ? HOLE : 0;
    const before = joined.at(-1);
    if (before?.flags === kind) joined[joined.length - 1] = { length: before.length + length, flags: kind };
    else joined.push({ length, flags: kind });
  }
  return joined;
}

function runsOf(written: Uint8Array): Extent[] {
  const runs: Extent[] = [];
  for (let start = 0, end = 0; start < written.length; start = end) {
    while (written[end] === written[start]) end++;
    runs.push({ length: BigInt(end - start), flags: written[start] === 1 ? 0 : HOLE });
  }
  return runs;
}
