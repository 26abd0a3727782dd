import { expect, test, vi } from 'vitest';
import { diskOf, extentsOf, read } from './disk.js';

// Processes and large strings take their time where much else is running.
vi.setConfig({ testTimeout: 60_000 });

const HOLE = 3;
const text = async (
  disk: Awaited<ReturnType<typeof diskOf>>,
  offset: bigint,
  length: number,
): Promise<string> => Buffer.from(await read(disk, offset, length)).toString('latin1');

test('a repeat is as large as it says and read anywhere', async () => {
  const disk = await diskOf('("hello ")*1000000000000');
  expect(disk.size).toBe(6_000_000_000_000n);
  expect(await text(disk, 5_999_999_999_990n, 10)).toBe('llo hello ');
  expect(await text(disk, 3_000_000_000_001n, 9)).toBe('ello hell');
  expect(await extentsOf(disk)).toEqual([{ length: disk.size, flags: 0 }]);
});

test('a repeat with holes has them in every repetition', async () => {
  const disk = await diskOf('( @1M 0x55 )*1000000');
  const period = (1n << 20n) + 1n;
  expect(disk.size).toBe(1_000_000n * period);
  const start = 999_998n * period - 1n;
  expect(await extentsOf(disk, start)).toEqual([
    { length: 1n, flags: 0 },
    { length: period - 1n, flags: HOLE },
    { length: 1n, flags: 0 },
    { length: period - 1n, flags: HOLE },
    { length: 1n, flags: 0 },
  ]);
  expect(await read(disk, start, 2)).toEqual(Uint8Array.of(0x55, 0));
});

test('repeats of repeats of holes and data', async () => {
  const disk = await diskOf('((( @1M 0x55 )*1000 @1G)*1000 1)*1000');
  const inner = 1000n * (1n << 30n) + 1n;
  expect(disk.size).toBe(1000n * inner);
  expect(await extentsOf(disk, 999n * inner - 1n, (1n << 20n) + 2n)).toEqual([
    { length: 1n, flags: 0 },
    { length: 1n << 20n, flags: HOLE },
    { length: 1n, flags: 0 },
  ]);
  expect(await read(disk, 999n * inner - 1n, 1)).toEqual(Uint8Array.of(1));
});

test('one call of extents describes a bounded number of them', async () => {
  const disk = await diskOf('( @1M 0x55 )*7000000000000');
  const extents = await extentsOf(disk);
  expect(extents.length).toBeGreaterThan(100);
  expect(extents.length).toBeLessThan(100_000);
  expect(await extentsOf(disk, 0n, disk.size, 3)).toHaveLength(3);
});

test('what is data all over is one extent, however it is made', async () => {
  const doubled = Array.from(
    { length: 40 },
    (_, i) => `(\\n${i} ${i % 2 === 0 ? '"xy"' : ''} \\n${i}) -> \\n${i + 1}`,
  );
  const disk = await diskOf(`1 2 3 -> \\n0 ${doubled.join(' ')} \\n40*1000 (0x55 1*4M)*1000`);
  expect(await extentsOf(disk)).toEqual([{ length: disk.size, flags: 0 }]);
});

test('names double what they stand for, up to 2^63 - 1 bytes', async () => {
  const disk = await diskOf(`@+1 1 -> \\a ${'(\\a \\a @+1) -> \\a '.repeat(61)} \\a`);
  expect(disk.size).toBe(2n ** 62n);
  expect(await read(disk, 1n, 8)).toEqual(Uint8Array.of(1, 1, 0, 1, 1, 0, 0, 1));
});

test('long zeroes that are written are known to be zeroes, and are no hole', async () => {
  const disk = await diskOf('1*8k 0*1E (0 0)*4k 1 @+1');
  expect(await extentsOf(disk)).toEqual([
    { length: 8192n, flags: 0 },
    { length: (1n << 60n) + 8192n, flags: 2 },
    { length: 1n, flags: 0 },
    { length: 1n, flags: HOLE },
  ]);
});

test('the deepest expression that is allowed can be laid out, read and described', async () => {
  const nested = await diskOf('( 1 '.repeat(990) + '@+1' + ' 2 )'.repeat(990));
  expect(nested.size).toBe(1981n);
  expect(await extentsOf(nested)).toHaveLength(3);
  const named = await diskOf(`1 -> \\a ${'(\\a 2 @+100) -> \\a '.repeat(495)} \\a`);
  expect(await read(named, 0n, 3)).toEqual(Uint8Array.of(1, 2, 0));
  expect(await extentsOf(named)).toHaveLength(990);
});

test('a slice of something huge is small', async () => {
  const disk = await diskOf('(("ab" @1E)*3 "c")[2E:] 1', 'size=4k');
  expect(disk.size).toBe(4096n);
  expect(await text(disk, 0n, 3)).toBe('ab\0');
});

test('writes in any order, one over the other', async () => {
  const many = Array.from({ length: 50_000 }, (_, i) => `@${(i * 7919) % 50_000} 1*100000`);
  const disk = await diskOf(many.join(' '));
  expect(await extentsOf(disk)).toEqual([{ length: 149_999n, flags: 0 }]);
  const scattered = Array.from({ length: 50_000 }, (_, i) => `@${((i * 7919) % 50_000) * 3} ${i % 256}`);
  const disk2 = await diskOf(scattered.join(' '));
  expect(await read(disk2, 7919n * 3n, 3)).toEqual(Uint8Array.of(1, 0, 0));
  expect(disk2.size).toBe(149_998n);
});
