import { linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Plugin } from '@nbd/plugin';
import { describe, expect, onTestFinished, test } from 'vitest';
import { contentOf, setUp } from './open.js';
import { temporaryDirectory } from './temporary.js';

const outside = temporaryDirectory();
writeFileSync(join(outside, 'secret'), 'secret');
const directory = join(outside, 'disks');
mkdirSync(directory);
const inside = (name: string): string => join(directory, name);
writeFileSync(inside('a.img'), 'aaaa');
writeFileSync(inside('b.img'), 'bbbb');
writeFileSync(inside('ünïcode name.img'), 'u');
linkSync(inside('b.img'), inside('hard link'));
mkdirSync(inside('sub'));
writeFileSync(inside('sub/c.img'), 'cccc');
symlinkSync('a.img', inside('link'));
symlinkSync('link', inside('link to link'));
symlinkSync('../secret', inside('out'));
symlinkSync(join(outside, 'secret'), inside('absolute'));
symlinkSync('sub/c.img', inside('below'));
symlinkSync('sub', inside('subdirectory'));
symlinkSync('nowhere', inside('dangling'));
symlinkSync('loop', inside('loop'));
symlinkSync('/dev/null', inside('null'));

const listed = ['a.img', 'b.img', 'hard link', 'link', 'link to link', 'ünïcode name.img'];
const request = (exportName: string) => ({ exportName, readOnly: false });

async function text(plugin: Plugin, name: string): Promise<string> {
  const device = await plugin.open(request(name));
  try {
    return new TextDecoder().decode(await contentOf(device, 0n, Number(device.size)));
  } finally {
    await device.close?.();
  }
}

test('files and links within the directory are listed, and nothing else', async () => {
  const server = createServer().listen(inside('socket'));
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const plugin = await setUp([`dir=${directory}`]);
  const names = (await plugin.exports!({ readOnly: false }))!.map(({ name }) => name);
  expect(names).toEqual([...listed].sort());
});

test('each file is an export of its name', async () => {
  const plugin = await setUp([`dir=${directory}`]);
  expect(await text(plugin, 'a.img')).toBe('aaaa');
  expect(await text(plugin, 'link to link')).toBe('aaaa');
  expect(await text(plugin, 'ünïcode name.img')).toBe('u');
});

describe('no name leads out of the directory', () => {
  test.each([
    ...[
      '',
      '.',
      '..',
      '/',
      '../secret',
      './a.img',
      '../disks/a.img',
      'sub',
      'sub/c.img',
      'sub/../a.img',
      'a.img/',
    ],
    ...[join(outside, 'secret'), join(directory, 'a.img'), 'out', 'absolute', 'below', 'subdirectory'],
    ...['subdirectory/c.img', 'dangling', 'loop', 'null', 'a.img\0', '\0', 'absent', 'x'.repeat(4096)],
  ])('%j', async (name) => {
    const plugin = await setUp([`dir=${directory}`]);
    await expect(async () => plugin.open(request(name))).rejects.toMatchObject({
      code: 'ENOENT',
      message: `there is no export "${name}"`,
    });
  });
});

test('a file that is named twice is one disk, also for its lock', async () => {
  const plugin = await setUp([`dir=${directory}`]);
  const one = await plugin.open(request('b.img'));
  const other = await plugin.open(request('hard link'));
  await one.write!(0n, Uint8Array.of(0x78));
  expect(await contentOf(other, 0n, 2)).toEqual(Uint8Array.of(0x78, 0x62));
  await one.close?.();
  await other.write!(0n, Uint8Array.of(0x62));
  await other.close?.();
});

test('a file is locked while it has users', async () => {
  const plugin = await setUp([`dir=${directory}`]);
  const single = () => setUp([inside('a.img')]);
  const device = await plugin.open(request('a.img'));
  await expect(single()).rejects.toMatchObject({ code: 'EBUSY' });
  await device.close?.();
  const other = await single();
  await expect(async () => plugin.open(request('a.img'))).rejects.toMatchObject({ code: 'EBUSY' });
  await other.close?.();
});

test('a client that comes back at once finds its file', async () => {
  const plugin = await setUp([`dir=${directory}`]);
  for (let i = 0; i < 20; i++) {
    const device = await plugin.open(request('a.img'));
    const writing = device.write!(0n, new TextEncoder().encode('aaaa'));
    const closing = device.close?.();
    const again = await plugin.open(request('a.img'));
    await Promise.all([writing, closing]);
    expect(new TextDecoder().decode(await contentOf(again, 0n, 4))).toBe('aaaa');
    await again.close?.();
  }
});

test('a file that takes the place of another is another disk for those who come then', async () => {
  const plugin = await setUp([`dir=${directory}`]);
  writeFileSync(inside('replaced'), 'old');
  const device = await plugin.open(request('replaced'));
  writeFileSync(inside('new'), 'newer');
  renameSync(inside('new'), inside('replaced'));
  expect(await text(plugin, 'replaced')).toBe('newer');
  expect(new TextDecoder().decode(await contentOf(device, 0n, 3))).toBe('old');
  await device.close?.();
});
