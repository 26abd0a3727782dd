import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chainOf, Table } from '../src/table.js';

/** Chains of these lengths, one behind the other. */
function startsOf(lengths: readonly number[]): Uint32Array {
  const starts = [2];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  return Uint32Array.from(starts);
}

const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 });

test.each([
  [12, [0xf0, 0xff, 0xff, 0x03, 0xf0, 0xff, 0xff, 0x6f, 0x00, 0xff, 0x0f, 0x00]],
  [16, [0xf0, 0xff, 0xff, 0xff, 3, 0, 0xff, 0xff, 0xff, 0xff, 6, 0, 0xff, 0xff, 0, 0]],
] as const)('FAT%i has chains as the specification shows them', (type, expected) => {
  const into = new Uint8Array(expected.length);
  new Table(type, 0xf0, startsOf([2, 1, 2])).read(0, into);
  expect([...into]).toEqual(expected);
});

test('entries of FAT32 have 28 bits', () => {
  const into = new Uint8Array(20);
  new Table(32, 0xf8, startsOf([2])).read(0, into);
  const view = new DataView(into.buffer);
  expect([0, 4, 8, 12, 16].map((at) => view.getUint32(at, true))).toEqual([
    0x0fff_fff8, 0x0fff_ffff, 3, 0x0fff_ffff, 0,
  ]);
});

test('any part of a table is the same as in the whole', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(12, 16, 32),
      lengths,
      fc.nat(10_000),
      fc.nat(3000),
      (type, lengths, at, length) => {
        const table = new Table(type, 0xf8, startsOf(lengths));
        const whole = new Uint8Array(12_288);
        table.read(0, whole);
        const from = at % whole.length;
        const part = new Uint8Array(Math.min(length, whole.length - from)).fill(0xee);
        table.read(from, part);
        expect(Buffer.compare(part, whole.subarray(from, from + part.length))).toBe(0);
        expect(whole.subarray(table.usedBytes).every((byte) => byte === 0)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

test('the chain of a cluster is found', () => {
  fc.assert(
    fc.property(lengths, (lengths) => {
      const starts = startsOf(lengths);
      const owners = lengths.flatMap((length, chain) => new Array<number>(length).fill(chain));
      expect(owners.map((_, i) => chainOf(i + 2, starts))).toEqual(owners);
    }),
  );
});
