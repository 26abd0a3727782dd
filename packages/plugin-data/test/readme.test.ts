import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import data from '../src/index.js';
import { bytesOf, diskOf, open } from './disk.js';

vi.setConfig({ testTimeout: 60_000 });

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const BIN = fileURLToPath(new URL('../bin/nbd-disk2data.js', import.meta.url));

const directory = mkdtempSync(join(tmpdir(), 'plugin-data-'));

beforeAll(async () => {
  const file = (name: string, text: string, mode?: number): Promise<void> =>
    writeFile(join(directory, name), text, { mode });
  await mkdir(join(directory, 'bin'));
  await file('bin/nbd-serve', `#!/bin/sh\nprintf '%s\\0' "$@"\nprintf '\\n\\0'\n`, 0o755);
  await file('bin/nbd-disk2data', `#!/bin/sh\nexec "${process.execPath}" "${BIN}" "$@"\n`, 0o755);
  for (const name of ['file1', 'file2', 'file3', 'boot.bin', 'cd.iso', 'fs.img', 'part1.img', 'part2.img']) {
    await file(name, name);
  }
  await file('disk.img', '\0'.repeat(3 << 20));
  execFileSync('gzip', ['--keep', 'disk.img'], { cwd: directory });
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** What stands in the rows of tables with these headings. */
const examples = [...README.matchAll(/^\| string +\| gives +\|\n\|.*\n((?:\|.*\n)+)/gm)].flatMap(
  ([, rows = '']) =>
    [...rows.matchAll(/^\| `(.+)` +\| `(.+)` +\|$/gm)].map(
      ([, string = '', gives = '']) => [string, gives] as const,
    ),
);

test.each(examples)('%s', async (string, gives) => {
  expect(Buffer.from(await bytesOf(await diskOf(string))).toString('hex')).toBe(gives.replaceAll(' ', ''));
});

test('the tables were found', () => {
  expect(examples.length).toBeGreaterThan(15);
});

test('every command can be run as it stands', async () => {
  const scripts = [...README.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script]) => script).join('');
  const path = `${join(directory, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`;
  const env = { ...process.env, PATH: path };
  const output = execFileSync('/bin/sh', ['-e', '-c', scripts], { cwd: directory, env, encoding: 'utf8' });
  const commands = output
    .split('\0\n\0')
    .slice(0, -1)
    .map((words) => words.split('\0'));
  expect(commands.length).toBeGreaterThan(25);
  for (const words of commands) {
    const plugin = await data.fromArguments(words.slice(words.indexOf('plugin-data') + 1), {
      cwd: directory,
    });
    const device = await open(plugin);
    expect(device.size).toBeGreaterThan(0n);
    await device.read(0n, new Uint8Array(1));
    await plugin.close?.();
  }
});
