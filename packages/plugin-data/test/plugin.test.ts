import { checkDevice } from '@nbd/plugin/testing';
import { ExtentFlag } from '@nbd/protocol';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import data from '../src/index.js';
import { bytesOf, diskOf, extentsOf, open, read } from './disk.js';

const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;
const text = async (...words: string[]): Promise<string> =>
  Buffer.from(await bytesOf(await diskOf(...words))).toString('latin1');

test('a disk in base64, with whitespace between', async () => {
  expect(await text('base64=aGVs bG8=\n')).toBe('hello');
  expect(await text('base64=')).toBe('');
});

test('a disk as it is', async () => {
  expect(await text('raw=0x41 "é"')).toBe('0x41 "Ã©"');
  expect(await text('raw=')).toBe('');
});

test('data with and without its key', async () => {
  expect(await text('data="a=b"')).toBe('a=b');
  expect(await text('"a=b"')).toBe('a=b');
});

test('a size cuts the disk off or adds a hole', async () => {
  expect(await text('"abcdef"', 'size=4')).toBe('abcd');
  expect(await text('raw=abcdef', 'size=0')).toBe('');
  const disk = await diskOf('base64=aGk=', 'size=7E');
  expect(disk.size).toBe(7n << 60n);
  expect(await extentsOf(disk)).toEqual([
    { length: 2n, flags: 0 },
    { length: disk.size - 2n, flags: HOLE },
  ]);
});

test('what one connection writes, all see, and a plugin set up again starts anew', async () => {
  const plugin = await data.fromArguments(['(0x55 0xAA)*1T']);
  const [one, other] = [await open(plugin), await open(plugin)];
  await one.write!(2n ** 40n + 1n, Uint8Array.of(1, 2, 3), { fua: true });
  await one.zero!(10n, 3n);
  await one.flush!();
  expect(await read(other, 2n ** 40n, 5)).toEqual(Uint8Array.of(0x55, 1, 2, 3, 0x55));
  expect(await read(other, 9n, 5)).toEqual(Uint8Array.of(0xaa, 0, 0, 0, 0xaa));
  await other.close?.();
  await other.trim!(0n, 2n ** 40n);
  expect(await read(one, 8n, 3)).toEqual(Uint8Array.of(0, 0, 0));
  expect(await read(await diskOf('(0x55 0xAA)*1T'), 2n ** 40n, 2)).toEqual(Uint8Array.of(0x55, 0xaa));
});

test.each([
  ['a GPT-like disk', ['@0x1fe 0x55 0xaa "EFI PART" @7E "EFI PART" @+16k']],
  ['repeats with holes', ['( @100 "data" @+1000 )*2000']],
  ['nothing', ['']],
  ['one byte', ['1']],
  ['bytes', ['base64=aGVsbG8gd29ybGQ=', 'size=100001']],
])('the device keeps the contract: %s', async (_, words) => {
  const plugin = await data.fromArguments(words);
  await checkDevice(() => open(plugin));
});

test('the device keeps the contract over a file', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'plugin-data-'));
  try {
    await writeFile(join(cwd, 'file'), Buffer.alloc(50_000, 'content'));
    const plugin = await data.fromArguments(['@10000 (<file @+5000 1)*100'], { cwd });
    await checkDevice(() => open(plugin));
    await plugin.close?.();
  } finally {
    await rm(cwd, { recursive: true });
  }
});
