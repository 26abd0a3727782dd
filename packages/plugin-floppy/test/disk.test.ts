import {
  chmodSync,
  linkSync,
  mkdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { checkDevice } from '@nbd/plugin/testing';
import { directoryWith, diskOf, errorOf, extentsOf, read, volumeOf, type Disk } from './disk.js';
import { isDirectory, pathsOf, readPartition, type FatFile, type FatVolume } from './fat-reader.js';

const MIB = 2 ** 20;

test('an empty directory is a disk with an empty volume in a partition at 1 MiB', async () => {
  const disk = await diskOf(directoryWith());
  expect(disk.device.size).toBe(2n * 2n ** 20n);
  expect(await readPartition(disk.bytes)).toEqual({ type: 0x01, offset: MIB, length: MIB });
  const volume = await volumeOf(disk);
  expect(volume).toMatchObject({
    type: 12,
    label: 'NBD-FLOPPY ',
    hiddenSectors: 2048,
    media: 0xf8,
    drive: 0x80,
  });
  expect(volume.root.entries.size).toBe(0);
});

test('files and directories are there with every byte', async () => {
  const files = {
    README: 'in capitals\n',
    'a long name with spaces.text': pattern(100_000, 1),
    empty: '',
    'one cluster': pattern(512, 2),
    'one cluster and a byte': pattern(513, 3),
    'docs/guide.md': pattern(5000, 4),
    'docs/empty/': '',
    'docs/deep/down/below': pattern(70_000, 5),
  };
  const disk = await diskOf(directoryWith(files));
  const found = await contentsOf(disk);
  expect([...found.keys()].sort()).toEqual(
    [...Object.keys(files), 'docs/', 'docs/deep/', 'docs/deep/down/'].sort(),
  );
  for (const [path, content] of Object.entries(files)) {
    if (!path.endsWith('/')) expect(isSame(found.get(path), content), path).toBe(true);
  }
  expect(disk.warnings).toEqual([]);
});

test.each(['fat12', 'fat16', 'fat32'])('format=%s is what it says, with the same files', async (format) => {
  const files = { 'a.txt': 'a', 'in/b': pattern(10_000, 7), 'in/deeper/c': pattern(3, 8) };
  const disk = await diskOf(directoryWith(files), `format=${format}`);
  expect((await volumeOf(disk)).type).toBe(Number(format.slice(3)));
  const found = await contentsOf(disk);
  expect(isSame(found.get('in/b'), files['in/b'])).toBe(true);
  expect(isSame(found.get('in/deeper/c'), files['in/deeper/c'])).toBe(true);
});

test('2 000 files in one directory and a tree 20 deep', { timeout: 60_000 }, async () => {
  const files: Record<string, string> = {};
  for (let i = 0; i < 2000; i++) files[`many/file with a number ${i}.txt`] = `content ${i}`;
  const deep = Array.from({ length: 20 }, (_, i) => `level ${i}`).join('/');
  files[`${deep}/bottom`] = 'reached';
  const found = await contentsOf(await diskOf(directoryWith(files)));
  for (const [path, content] of Object.entries(files)) {
    expect(Buffer.from(found.get(path) ?? []).toString(), path).toBe(content);
  }
});

test('any tree comes back, whatever its names', { timeout: 60_000 }, async () => {
  const name = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    fc.string({
      unit: fc.constantFrom('a', 'A', 'b', 'B', '.', '~', ' ', '?', '1', 'é', '😀'),
      minLength: 1,
      maxLength: 12,
    }),
  );
  const path = fc.array(name, { minLength: 1, maxLength: 3 });
  const trees = fc.array(fc.record({ path, size: fc.nat(3000) }), { maxLength: 30 });
  const format = fc.constantFrom('auto', 'fat12', 'fat16', 'fat32');
  await fc.assert(
    fc.asyncProperty(trees, format, async (tree, format) => {
      const root = directoryWith();
      // A file's content tells its place in the list.
      const written = new Map<number, string[]>();
      for (const [i, { path, size }] of tree.entries()) {
        if (writeIfPossible(root, path, pattern(size + 4, i))) written.set(i, path);
      }
      const disk = await diskOf(root, `format=${format}`);
      const found = [...(await contentsOf(disk))].filter(([path]) => !path.endsWith('/'));
      expect(found.length).toBe(written.size);
      for (const [path, content] of found) {
        const i = Buffer.from(content).readUInt32LE();
        expect(isSame(content, pattern(tree[i]!.size + 4, i))).toBe(true);
        const original = written.get(i)!;
        const parts = path.split('/');
        expect(parts.length).toBe(original.length);
        // Each part is the name it has, or another one that there is a warning of.
        for (const [depth, part] of parts.entries()) {
          const told = () => disk.warnings.some((warning) => warning.includes(' on the disk: '));
          expect(part === original[depth] || told()).toBe(true);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('it keeps the contract of a device', async () => {
  const root = directoryWith({ a: pattern(100_000, 1), 'b/c': pattern(1, 2), 'b/d': pattern(70_000, 3) });
  const { device } = await diskOf(root, 'size=+3M');
  await checkDevice(device);
});

test('the same tree is the same disk, to the byte', async () => {
  const files = { z: 'last', a: 'first', 'dir/x': pattern(2000, 1), B: 'b' };
  const root = directoryWith(files);
  const first = await diskOf(root, 'utc=true');
  const again = await diskOf(root, 'utc=true');
  const size = Number(first.device.size);
  expect(isSame(await read(again.device, 0, size), await read(first.device, 0, size))).toBe(true);
  writeFileSync(join(root, 'a'), 'first, changed');
  expect((await volumeOf(await diskOf(root))).serial).not.toBe((await volumeOf(first)).serial);
});

test('size= is the size of the whole disk, and free space is a hole', async () => {
  const root = directoryWith({ a: pattern(1000, 1) });
  const { device } = await diskOf(root, 'size=20M');
  expect(device.size).toBe(20n * 2n ** 20n);
  const extents = extentsOf(device);
  expect(extents.reduce((sum, { length }) => sum + length, 0n)).toBe(device.size);
  expect(
    extents.filter(({ flags }) => flags === 0).reduce((sum, { length }) => sum + length, 0n),
  ).toBeLessThan(20_000n);
});

test('size=+FREE leaves at least so much free', async () => {
  const root = directoryWith({ a: pattern(100_000, 1) });
  const volume = await volumeOf(await diskOf(root, 'size=+10M'));
  expect(volume.freeClusters * volume.clusterSize).toBeGreaterThanOrEqual(10 * MIB);
  expect(volume.freeClusters * volume.clusterSize).toBeLessThan(12 * MIB);
});

test('size=1T takes no time and no memory for what is free', async () => {
  const { device } = await diskOf(directoryWith({ a: 'a', b: 'b', c: 'c' }), 'size=1T');
  expect(device.size).toBe(2n ** 40n);
  const holes = extentsOf(device).filter(({ flags }) => flags !== 0);
  expect(holes.reduce((sum, { length }) => sum + length, 0n)).toBeGreaterThan(2n ** 40n - 200_000n);
  // At the very end, and in the middle of the second table.
  expect(await read(device, 2 ** 40 - 512, 512)).toEqual(new Uint8Array(512));
  expect(await read(device, 200 * MIB, 512)).toEqual(new Uint8Array(512));
});

test('a size that is not a multiple of a sector is kept', async () => {
  const disk = await diskOf(directoryWith({ a: 'a' }), 'size=3000001');
  expect(disk.device.size).toBe(3_000_001n);
  await volumeOf(disk);
});

test('a read is told which parts of it are free space', async () => {
  const { device } = await diskOf(directoryWith({ empty: '', 'dir/': '' }), 'size=8M');
  const holes: [bigint, bigint][] = [];
  const into = new Uint8Array(2 * MIB).fill(0xee);
  // Nothing of it is in a file: it is done at once.
  const done = device.read(0n, into, { holes: { add: (offset, length) => holes.push([offset, length]) } });
  expect(done).toBeUndefined();
  expect(holes[0]).toEqual([512n, BigInt(MIB - 512)]);
  for (const [offset, length] of holes) {
    const part = into.subarray(Number(offset), Number(offset + length));
    expect(part.every((byte) => byte === 0)).toBe(true);
  }
});

test('partition=none size=1440K is the floppy that DOS formats', async () => {
  const disk = await diskOf(directoryWith({ 'hello.txt': 'hello\n' }), 'partition=none', 'size=1440K');
  expect(disk.device.size).toBe(1_474_560n);
  expect(await volumeOf(disk, true)).toMatchObject({
    ...{ type: 12, sectors: 2880, media: 0xf0, sectorsPerTrack: 18, heads: 2, drive: 0, hiddenSectors: 0 },
    ...{ rootSlots: 224, sectorsPerTable: 9, clusterSize: 512, clusters: 2847 },
  });
});

test.each([
  [160, { media: 0xfe, sectorsPerTrack: 8, heads: 1, rootSlots: 64, sectorsPerTable: 1, clusterSize: 512 }],
  [180, { media: 0xfc, sectorsPerTrack: 9, heads: 1, rootSlots: 64, sectorsPerTable: 2, clusterSize: 512 }],
  [320, { media: 0xff, sectorsPerTrack: 8, heads: 2, rootSlots: 112, sectorsPerTable: 1, clusterSize: 1024 }],
  [360, { media: 0xfd, sectorsPerTrack: 9, heads: 2, rootSlots: 112, sectorsPerTable: 2, clusterSize: 1024 }],
  [720, { media: 0xf9, sectorsPerTrack: 9, heads: 2, rootSlots: 112, sectorsPerTable: 3, clusterSize: 1024 }],
  [
    1200,
    { media: 0xf9, sectorsPerTrack: 15, heads: 2, rootSlots: 224, sectorsPerTable: 7, clusterSize: 512 },
  ],
  [
    2880,
    { media: 0xf0, sectorsPerTrack: 36, heads: 2, rootSlots: 240, sectorsPerTable: 9, clusterSize: 1024 },
  ],
])('a floppy of %i KiB is laid out as it always was', async (size, layout) => {
  const disk = await diskOf(directoryWith({ a: 'a' }), 'partition=none', `size=${size}K`);
  expect(await volumeOf(disk, true)).toMatchObject(layout);
});

test('dates are those of the local time zone, or of UTC', async () => {
  const zone = process.env['TZ'];
  process.env['TZ'] = 'Asia/Kathmandu';
  onTestFinished(() => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  });
  const root = directoryWith({ a: 'a', 'dir/': '' });
  for (const name of ['a', 'dir']) {
    const time = new Date('2024-02-29T23:59:57.890Z');
    utimesSync(join(root, name), time, time);
  }
  const local = await volumeOf(await diskOf(root));
  const utc = await volumeOf(await diskOf(root, 'utc=true'));
  for (const name of ['a', 'dir']) {
    expect(local.root.entries.get(name)).toMatchObject({
      modified: '2024-03-01 05:44:56',
      created: '2024-03-01 05:44:57.89',
    });
    expect(utc.root.entries.get(name)).toMatchObject({
      modified: '2024-02-29 23:59:56',
      created: '2024-02-29 23:59:57.89',
    });
  }
});

test('dates that FAT does not have become the nearest that it has', async () => {
  const root = directoryWith({ old: '', new: '' });
  utimesSync(join(root, 'old'), new Date('1969-07-20T20:17:40Z'), new Date('1969-07-20T20:17:40Z'));
  utimesSync(join(root, 'new'), new Date('2345-06-07T08:09:10Z'), new Date('2345-06-07T08:09:10Z'));
  const { root: found } = await volumeOf(await diskOf(root, 'utc=true'));
  expect(found.entries.get('old')).toMatchObject({ modified: '1980-01-01 00:00:00' });
  expect(found.entries.get('new')).toMatchObject({ modified: '2107-12-31 23:59:58' });
});

test('a file that nobody may write is read-only', async () => {
  const root = directoryWith({ locked: 'x', open: 'x', group: 'x' });
  chmodSync(join(root, 'locked'), 0o444);
  chmodSync(join(root, 'group'), 0o464);
  const { entries } = (await volumeOf(await diskOf(root))).root;
  expect([...entries].map(([name, entry]) => [name, (entry as FatFile).readOnly])).toEqual([
    ['group', false],
    ['locked', true],
    ['open', false],
  ]);
});

test('what is no file and no directory is left out, with a warning each', async () => {
  const root = directoryWith({ file: 'x', 'dir/file': 'y' });
  symlinkSync('file', join(root, 'link'));
  symlinkSync('..', join(root, 'dir/loop'));
  symlinkSync('nowhere', join(root, 'broken'));
  const server = createServer().listen(join(root, 'socket'));
  onTestFinished(() => {
    server.close();
  });
  await once(server, 'listening');
  const disk = await diskOf(root);
  expect([...pathsOf((await volumeOf(disk)).root).keys()]).toEqual(['dir/', 'dir/file', 'file']);
  expect(disk.warnings).toEqual([
    `plugin-floppy: ${root}/broken is left out: it is a symbolic link, which FAT does not have`,
    `plugin-floppy: ${root}/link is left out: it is a symbolic link, which FAT does not have`,
    `plugin-floppy: ${root}/socket is left out: it is a socket`,
    `plugin-floppy: ${root}/dir/loop is left out: it is a symbolic link, which FAT does not have`,
  ]);
});

test('a directory may be given by a link to it', async () => {
  const root = directoryWith({ 'real/file': 'x' });
  symlinkSync('real', join(root, 'link'));
  expect([...(await contentsOf(await diskOf(join(root, 'link')))).keys()]).toEqual(['file']);
});

test('a name that is not valid UTF-8 gets another one, and its file opens', async () => {
  const root = directoryWith();
  writeFileSync(Buffer.concat([Buffer.from(`${root}/caf`), Buffer.of(0xe9), Buffer.from('.txt')]), 'latin');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.of(0xff)]), 'byte');
  const disk = await diskOf(root);
  const found = await contentsOf(disk);
  expect(Buffer.from(found.get('caf_.txt')!).toString()).toBe('latin');
  expect(Buffer.from(found.get('_')!).toString()).toBe('byte');
  expect(disk.warnings).toEqual([
    `plugin-floppy: ${root}/caf\\xe9.txt is caf_.txt on the disk: it is not valid UTF-8`,
    `plugin-floppy: ${root}/\\xff is _ on the disk: it is not valid UTF-8`,
  ]);
});

test('a warning is one line whatever the name', async () => {
  const { warnings } = await diskOf(directoryWith({ 'new\nline\u009b': 'x' }));
  expect(warnings.length).toBe(1);
  expect(warnings[0]).toContain(
    'new\\x0aline\\x9b is new_line\\x9b on the disk: FAT allows no U+000A in a name',
  );
});

test('a file of 4 GiB is an error that names it; one byte less is a file', { timeout: 60_000 }, async () => {
  const root = directoryWith({ 'dir/large': '' });
  const large = join(root, 'dir/large');
  truncateSync(large, 2 ** 32);
  expect(await errorOf(root)).toBe(
    `plugin-floppy: ${large} is 4 GiB; FAT holds files under 4 GiB. Move it out of the directory`,
  );
  truncateSync(large, 2 ** 32 - 1);
  const disk = await diskOf(root);
  const volume = await volumeOf(disk);
  const file = pathsOf(volume.root).get('dir/large') as FatFile;
  expect(file.size).toBe(2 ** 32 - 1);
  expect(await read(disk.device, volume.base + file.offset + 2 ** 32 - 2, 2)).toEqual(new Uint8Array(2));
});

test.each([
  [['size=1440K', 'partition=none'], /does not fit on a disk of 1\.4 MiB: as FAT12 it takes size=2M$/],
  [['size=2M'], /does not fit on a disk of 2 MiB: as FAT12 it takes size=3M$/],
  [['size=512'], /does not fit on a disk of 512 B: as FAT12 it takes size=3M$/],
  [['size=10M', 'format=fat32'], /does not fit on a disk of 10 MiB: as FAT32 it takes size=34M$/],
  [['size=3T'], /size=3 TiB is too large for FAT32, which has at most 2 TiB$/],
  [['size=+3T'], / with 3 TiB of free space is too large for FAT32, which has at most 2 TiB$/],
  [
    ['size=4G', 'format=fat16'],
    /size=4 GiB is too large for FAT16, which has less than 2 GiB. Take format=auto$/,
  ],
  [['size=lots'], /^plugin-floppy: size=lots is not a size/],
  [['size=+'], /^plugin-floppy: size= is not a size/],
  [['label=twelve chars'], /^plugin-floppy: label=twelve chars is not a label/],
  [['label=a*b'], /^plugin-floppy: label=a\*b is not a label/],
])('%j with 2 MB of files is an error that says why', async (words, message) => {
  expect(await errorOf(directoryWith({ a: new Uint8Array(2_000_000) }), ...words)).toMatch(message);
});

test('a directory that is none is an error that names it', async () => {
  const root = directoryWith({ file: 'x' });
  expect(await errorOf(join(root, 'file'))).toMatch(/file is not a directory/);
  expect(await errorOf(join(root, 'nothing'))).toMatch(/can't look at .*nothing: ENOENT$/);
});

test('a root directory over its fixed size is enlarged, unless the format was asked for', async () => {
  const root = directoryWith();
  for (let i = 0; i < 600; i++) writeFileSync(join(root, `FILE${i}`), '');
  expect((await volumeOf(await diskOf(root))).rootSlots).toBe(608);
  expect(await errorOf(root, 'format=fat16')).toBe(
    `plugin-floppy: the names in ${root} take 601 slots of 32 bytes; the root directory of this FAT16 has 512. ` +
      'Put them into a directory of their own, or take format=auto',
  );
  const floppy = ['partition=none', 'size=720K'];
  expect((await volumeOf(await diskOf(root, ...floppy), true)).rootSlots).toBe(608);
  expect(await errorOf(root, ...floppy, 'format=fat12')).toMatch(/FAT12 has 112/);
});

test('the label is in capitals', async () => {
  expect((await volumeOf(await diskOf(directoryWith(), 'label=My Disk'))).label).toBe('MY DISK    ');
});

test('a file with two names is two files', async () => {
  const root = directoryWith({ a: 'shared' });
  linkSync(join(root, 'a'), join(root, 'b'));
  const found = await contentsOf(await diskOf(root));
  expect(found.get('a')).toEqual(found.get('b'));
});

/** What each file of the disk holds, by path; directories end with a slash and hold nothing. */
async function contentsOf(disk: Disk): Promise<Map<string, Uint8Array>> {
  const volume: FatVolume & { base: number } = await volumeOf(disk);
  const contents = new Map<string, Uint8Array>();
  for (const [path, entry] of pathsOf(volume.root)) {
    const bytes = isDirectory(entry)
      ? new Uint8Array()
      : await read(disk.device, volume.base + entry.offset, entry.size);
    contents.set(path, bytes);
  }
  return contents;
}

/** What `toEqual` says too, after minutes. */
function isSame(a: Uint8Array | undefined, b: string | Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, Buffer.from(b)) === 0;
}

/** Bytes that no other seed has; with four or more, the first four are the seed. */
function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++)
    bytes[i] = i < 4 ? seed >>> (8 * i) : (i * 31 + (i >> 8) * 7 + seed) & 0xff;
  return bytes;
}

/** Some names are not possible here either: `..`, those with a slash, a file where there is a directory. */
function writeIfPossible(root: string, path: readonly string[], content: Uint8Array): boolean {
  if (path.some((name) => name === '.' || name === '..' || /[/\0]/.test(name))) return false;
  try {
    mkdirSync(join(root, ...path.slice(0, -1)), { recursive: true });
    writeFileSync(join(root, ...path), content, { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}
