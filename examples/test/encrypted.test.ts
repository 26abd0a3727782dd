import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkDevice } from '@nbd/plugin/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import encrypted from '../encrypted.js';

let directory: string;
let file: string;
let key: string;

/** The keys of vector 10 of IEEE 1619-2007, annex B. */
const KEYS =
  '2718281828459045235360287471352662497757247093699959574966967627' +
  '3141592653589793238462643383279502884197169399375105820974944592';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'encrypted-'));
  file = join(directory, 'disk.enc');
  key = join(directory, 'disk.key');
  await writeFile(file, '');
  await truncate(file, 1 << 20);
  await writeFile(key, Buffer.from(KEYS, 'hex'));
});
afterEach(() => rm(directory, { recursive: true }));

test('an encrypted disk keeps the contract of a block device', async () => {
  const plugin = await encrypted.create({ file, key });
  await checkDevice(() => plugin.open({ exportName: '', readOnly: false }));
  await plugin.close?.();
});

test('what is in the file is AES-256-XTS of what was written', async () => {
  const plugin = await encrypted.create({ file, key });
  const disk = await plugin.open({ exportName: '', readOnly: false });
  await disk.write!(
    0xffn * 512n,
    Uint8Array.from({ length: 512 }, (_, i) => i & 0xff),
  );
  await disk.close?.();
  await plugin.close?.();
  const bytes = await readFile(file);
  expect(bytes.subarray(0xff * 512, 0xff * 512 + 32).toString('hex')).toBe(
    '1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b',
  );
});

test('with another key it is not to be read', async () => {
  const sector = new Uint8Array(512).fill(7);
  for (const [index, keys] of [KEYS, KEYS.replace('27', '28')].entries()) {
    await writeFile(key, Buffer.from(keys, 'hex'));
    const plugin = await encrypted.create({ file, key });
    const disk = await plugin.open({ exportName: '', readOnly: false });
    if (index === 0) await disk.write!(0n, sector);
    const bytes = new Uint8Array(512);
    await disk.read(0n, bytes);
    expect(Buffer.from(bytes).equals(sector)).toBe(index === 0);
    await disk.close?.();
    await plugin.close?.();
  }
});

test('a key of another length is refused', async () => {
  await writeFile(key, 'secret');
  await expect(encrypted.create({ file, key })).rejects.toThrow('6 bytes; a key has 64');
});
