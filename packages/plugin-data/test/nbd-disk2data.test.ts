import { execFile } from 'node:child_process';
import { mkdtemp, open as openFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bytesOf, diskOf } from './disk.js';

// Processes and large strings take their time where much else is running.
vi.setConfig({ testTimeout: 60_000 });

const BIN = fileURLToPath(new URL('../bin/nbd-disk2data.js', import.meta.url));

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nbd-disk2data-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function diskToData(...args: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], { cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test('prints a file as a string that serves it again', async () => {
  const content = Buffer.alloc(10_000);
  content.write('boot', 100);
  content.writeUInt16LE(0xaa55, 510);
  await writeFile(join(directory, 'boot.img'), content);
  const { code, stdout, stderr } = await diskToData('boot.img');
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: '@0x64 "boot"\n@0x1fe 0x55 0xaa\n@0x2710\n',
    stderr: '',
  });
  expect(Buffer.from(await bytesOf(await diskOf(stdout))).equals(content)).toBe(true);
});

test('does not read the holes of a sparse file', async () => {
  const path = join(directory, 'sparse.img');
  const file = await openFile(path, 'w');
  await file.write('far', 2 ** 40);
  await file.close();
  await truncate(path, 2 ** 41);
  expect((await diskToData('sparse.img')).stdout).toBe('@0x10000000000 "far"\n@0x20000000000\n');
});

test('refuses a disk that is not mostly empty, unless told to', async () => {
  await writeFile(join(directory, 'full.img'), 'all of this is text');
  expect(await diskToData('full.img')).toEqual({
    code: 1,
    stdout: '',
    stderr:
      'nbd-disk2data: full.img: the disk is not mostly empty: over half of its 19 B would have to be spelled out. ' +
      '--force prints it all the same\n',
  });
  expect((await diskToData('--force', 'full.img')).stdout).toBe('"all of this is text"\n');
});

test.each([
  [[], /^nbd-disk2data: which disk\?\nUsage: /],
  [['a', 'b'], /^nbd-disk2data: only one disk at a time, not also b\nUsage: /],
  [['--no-such-option'], /^nbd-disk2data: Unknown option '--no-such-option'/],
])('wrong usage: %j', async (args, message) => {
  const { code, stdout, stderr } = await diskToData(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
});

test('says which disk it can not read', async () => {
  const { code, stderr } = await diskToData('nowhere.img');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^nbd-disk2data: nowhere\.img: .*ENOENT/);
});

test('tells how it is used', async () => {
  expect(await diskToData('--help')).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/^Usage: /) as string,
  });
});
