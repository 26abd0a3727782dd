import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { BlockDevice } from '@nbd/protocol';
import data, { diskToData } from '../src/index.js';
import { bytesOf, diskOf, open } from './disk.js';
import { sample } from './naive.js';

const HOLE = 3;

const printed = async (...words: string[]): Promise<string[]> =>
  (await diskToData(await diskOf(...words))).split('\n').slice(0, -1);

test.each([
  [['@0x1fe 0x55 0xaa'], ['@0x1fe 0x55 0xaa']],
  [
    ['@0x1fe 0x55 0xaa', 'size=1M'],
    ['@0x1fe 0x55 0xaa', '@0x100000'],
  ],
  [
    ['@100 "hello, \\"world\\"\\t" 10', 'size=1k'],
    ['@0x64 "hello, \\"world\\"\\t\\n"', '@0x400'],
  ],
  [
    ['@512 (0x55 0xAA)*1000', 'size=8k'],
    ['@0x200 ( 0x55 0xaa )*1000', '@0x2000'],
  ],
  [['@8 0xff*100 @512'], ['@0x8 0xff*100', '@0x200']],
  [['@8 "A"*100 "hello "*50 @2k'], ['@0x8 "A"*100 "hello "*50', '@0x800']],
  [
    ['@0x1be 0 0 2 0 0x83 0x20 0x20 0 le32:1 le32:0x7ff @0x1fe 0x55 0xaa'],
    ['@0x1c0 2 0 0x83 0x20 0x20 0 le32:1 le32:0x7ff', '@0x1fe 0x55 0xaa'],
  ],
  [
    ['@0x200 "EFI PART" 0 0 1 0 0x5c 0 0 0 @+8 le64:1 le64:0x37ffffffffff le64:0x22 @4k'],
    ['@0x200 "EFI PART" 0 0 1 0 0x5c', '@0x218 le64:1 le64:0x37ffffffffff 0x22', '@0x1000'],
  ],
  [['( @1M 0x55 )*1000'], ['@0x100000 ( 0x55 @0x100001 )*999', '0x55']],
  [['( 0x55 @1M )*1000'], ['( 0x55 @0x100000 )*1000']],
  [['( @256 ( 0x55 0xAA )*128 )*4'], ['@0x100 ( ( 0x55 0xaa )*128 @0x200 )*3', '( 0x55 0xaa )*128']],
  [['@7E "end" @+1k'], ['@0x7000000000000000 "end"', '@0x7000000000000403']],
  [['@10'], ['@0xa']],
  [[''], []],
])('%j', async (words, lines) => {
  expect(await printed(...words)).toEqual(lines);
});

test('lines are no wider than a terminal', async () => {
  const lines = await printed(
    '@1k (1 2 3 5 8 13 21 34 55 89 144 233 0x90 0x91 0xe9 "word" 0xff 0xfe)*2 0xab',
    'size=1M',
  );
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(78);
});

test('what is printed serves the same bytes again', async () => {
  await fc.assert(
    fc.asyncProperty(sample, async ({ text, variables, bytes }) => {
      const device = await open(await data.create({ data: text, rest: variables }));
      const again = await diskOf(await diskToData(device, { force: true }));
      expect(Buffer.compare(await bytesOf(again), bytes)).toBe(0);
    }),
    { numRuns: 300 },
  );
}, 60_000);

/** Bytes as disks have them: runs, numbers, text and patterns, here and there. */
const sparseBytes = fc
  .array(
    fc.tuple(
      fc.oneof(fc.nat(20), fc.nat(3000)),
      fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.tuple(fc.nat(255), fc.nat(300)).map(([byte, length]) => new Uint8Array(length).fill(byte)),
        fc
          .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(40))
          .map(([pattern, count]) => Buffer.concat(Array.from({ length: count }, () => pattern))),
        fc.string({ unit: 'binary-ascii', maxLength: 200 }).map((text) => Buffer.from(text, 'latin1')),
        fc.bigInt(0n, 2n ** 64n - 1n).map((value) => new Uint8Array(BigUint64Array.of(value).buffer)),
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.concat(parts.flatMap(([gap, bytes]) => [Buffer.alloc(gap), bytes])));

test('any bytes come back, in pieces of any size and with holes anywhere among the zeroes', async () => {
  await fc.assert(
    fc.asyncProperty(
      sparseBytes,
      fc.integer({ min: 512, max: 5000 }),
      fc.boolean(),
      async (bytes, maximum, holes) => {
        const device: BlockDevice = {
          size: BigInt(bytes.length),
          info: { blockSize: { minimum: 1, preferred: 512, maximum } },
          read(offset, into) {
            expect(into.length).toBeLessThanOrEqual(maximum);
            into.set(bytes.subarray(Number(offset), Number(offset) + into.length));
          },
          ...(holes && {
            extents(
              offset: bigint,
              _length: bigint,
              sink: Parameters<NonNullable<BlockDevice['extents']>>[2],
            ) {
              const start = Number(offset);
              let end = start;
              while (end < bytes.length && (bytes[end] === 0) === (bytes[start] === 0)) end++;
              sink.add(BigInt(end - start), bytes[start] === 0 ? HOLE : 0);
            },
          }),
        };
        const text = await diskToData(device, { force: true });
        expect(Buffer.from(await bytesOf(await diskOf(text))).equals(bytes)).toBe(true);
        expect(text).toMatch(/^[\x20-\x7e\n]*$/);
      },
    ),
    { numRuns: 1000 },
  );
}, 60_000);

test('a disk that is not mostly empty is refused, unless told to', async () => {
  const random = new Uint8Array(10_000).map((_, i) => ((i * i * 31 + i) % 251) | 1);
  const full = `base64=${Buffer.from(random).toString('base64')}`;
  await expect(printed(full)).rejects.toMatchObject({
    code: 'EFBIG',
    message: 'the disk is not mostly empty: over half of its 9.8 KiB would have to be spelled out',
  });
  await expect(printed(full, 'size=19k')).rejects.toMatchObject({ code: 'EFBIG' });
  expect((await printed(full, 'size=20k')).length).toBeGreaterThan(100);
  expect((await diskToData(await diskOf(full), { force: true })).length).toBeGreaterThan(10_000);
});

test('a disk full of repeats is short enough', async () => {
  expect(await printed('( 0x55 0xAA )*2048')).toEqual(['( 0x55 0xaa )*2048']);
  expect(await printed('(1 2 3)*1M')).toEqual([
    '( 1 2 3 )*349525 1',
    '( 2 3 1 )*349525 2',
    '( 3 1 2 )*349525 3',
  ]);
});

test('a device that says nothing of its extents is an error, not a loop', async () => {
  const device: BlockDevice = { size: 10n, read: () => undefined, extents: () => undefined };
  await expect(diskToData(device)).rejects.toMatchObject({ code: 'EIO' });
});
