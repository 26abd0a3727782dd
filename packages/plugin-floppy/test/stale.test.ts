import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { directoryWith, diskOf, read, volumeOf, type Disk } from './disk.js';
import { pathsOf, type FatFile } from './fat-reader.js';

const OLD = new Date('2020-01-01T00:00:00Z');

/** What happens to a file behind the disk's back, and how the log calls it. */
const changes: Record<string, { change: (path: string) => void; told: string }> = {
  'overwritten with as many bytes': {
    change: (path) => {
      writeFileSync(path, 'BEFORE');
    },
    told: 'was modified',
  },
  'appended to': {
    change: (path) => {
      appendFileSync(path, '!');
      utimesSync(path, OLD, OLD);
    },
    told: 'has another size than it had',
  },
  truncated: {
    change: (path) => {
      truncateSync(path, 1);
    },
    told: 'has another size than it had',
  },
  deleted: {
    change: (path) => {
      rmSync(path);
    },
    told: 'was deleted',
  },
  'deleted, with another name of it left': {
    change: (path) => {
      linkSync(path, `${path}.kept`);
      rmSync(path);
    },
    told: 'was deleted',
  },
  renamed: {
    change: (path) => {
      renameSync(path, `${path}.moved`);
    },
    told: 'was deleted',
  },
  'replaced by another file of the same size and date': {
    change: (path) => {
      writeFileSync(`${path}.new`, 'BEFORE');
      utimesSync(`${path}.new`, OLD, OLD);
      renameSync(`${path}.new`, path);
    },
    told: 'was replaced',
  },
  'replaced by a link to itself': {
    change: (path) => {
      renameSync(path, `${path}.moved`);
      symlinkSync(`${path}.moved`, path);
    },
    told: 'was replaced',
  },
  'replaced by a directory': {
    change: (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    told: 'was replaced',
  },
};

describe.each([
  ['before it was ever read', false],
  ['after it was read', true],
])('a file that is changed %s', (_when, readBefore) => {
  test.each(Object.entries(changes))(
    '%s: reads fail, and the log says so once',
    async (_what, { change, told }) => {
      const { root, disk, fileAt } = await preparedDisk();
      if (readBefore) await fileAt('dir/file');
      change(join(root, 'dir/file'));
      for (let i = 0; i < 3; i++) {
        await expect(fileAt('dir/file')).rejects.toMatchObject({ name: 'NbdError', code: 'EIO' });
      }
      expect(disk.warnings).toEqual([
        `plugin-floppy: ${root}/dir/file ${told}; reads of its data fail until the disk is made anew`,
      ]);
      expect(await fileAt('other')).toBe('other');
    },
  );
});

test('a directory swapped for a link to one with the same names does not lead there', async () => {
  const { root, fileAt } = await preparedDisk();
  const elsewhere = directoryWith({ file: 'SECRET' });
  utimesSync(join(elsewhere, 'file'), OLD, OLD);
  renameSync(join(root, 'dir'), join(root, 'gone'));
  symlinkSync(elsewhere, join(root, 'dir'));
  await expect(fileAt('dir/file')).rejects.toMatchObject({ code: 'EIO' });
});

test('what leaves the bytes alone does no harm', async () => {
  const { root, disk, fileAt } = await preparedDisk();
  const path = join(root, 'dir/file');
  expect(await fileAt('dir/file')).toBe('before');
  chmodSync(path, 0o400);
  expect(await fileAt('dir/file')).toBe('before');
  linkSync(path, join(root, 'another name'));
  expect(await fileAt('dir/file')).toBe('before');
  rmSync(join(root, 'another name'));
  writeFileSync(join(dirname(path), 'new'), 'not on the disk');
  expect(await fileAt('dir/file')).toBe('before');
  expect(disk.warnings).toEqual([]);
});

test('a file that can be read again is', async () => {
  const { root, fileAt } = await preparedDisk();
  const path = join(root, 'dir/file');
  renameSync(path, `${path}.moved`);
  await expect(fileAt('dir/file')).rejects.toMatchObject({ code: 'EIO' });
  renameSync(`${path}.moved`, path);
  expect(await fileAt('dir/file')).toBe('before');
});

test('a read over several files fails as a whole if one of them has changed, and only then is over', async () => {
  const files: Record<string, string> = {};
  for (let i = 100; i < 400; i++) files[`file ${i}`] = `content ${i}`;
  const root = directoryWith(files);
  const disk = await diskOf(root);
  const { base, root: directory } = await volumeOf(disk);
  const first = pathsOf(directory).get('file 100') as FatFile;
  rmSync(join(root, 'file 100'));
  const into = new Uint8Array(300 * 512);
  await expect(disk.device.read(BigInt(base + first.offset), into)).rejects.toMatchObject({ code: 'EIO' });
  const after = into.slice();
  await read(disk.device, base + first.offset + 512, 299 * 512);
  expect(Buffer.compare(into, after)).toBe(0);
});

// Where Linux shows which files a process has open.
describe.runIf(process.platform === 'linux')('file handles', () => {
  test('are at most 64, and all closed with the disk', async () => {
    const files: Record<string, string> = {};
    for (let i = 100; i < 400; i++) files[`file ${i}`] = `content ${i}`;
    const root = directoryWith(files);
    const disk = await diskOf(root);
    const openFiles = () => readdirSync('/proc/self/fd').filter((fd) => isWithin(root, fd)).length;
    const { base, root: directory } = await volumeOf(disk);
    const first = pathsOf(directory).get('file 100') as FatFile;

    // One read opens a few files at a time; twenty of them would open more than there may be.
    const reads = Array.from({ length: 20 }, (_, i) =>
      read(disk.device, base + first.offset + i * 15 * 512, 15 * 512),
    );
    expect(openFiles()).toBe(64);
    const bytes = Buffer.concat(await Promise.all(reads));
    for (let i = 100; i < 400; i++) {
      expect(bytes.toString('latin1', (i - 100) * 512, (i - 100) * 512 + 11)).toBe(`content ${i}`);
    }
    expect(openFiles()).toBe(64);
    await disk.close();
    expect(openFiles()).toBe(0);
  });

  test('of reads under way are closed when these are over', async () => {
    const root = directoryWith({ file: new Uint8Array(2 ** 20).fill(7) });
    const disk = await diskOf(root);
    const { base, root: directory } = await volumeOf(disk);
    const file = directory.entries.get('file') as FatFile;
    const reading = read(disk.device, base + file.offset, file.size);
    await disk.close();
    expect((await reading).every((byte) => byte === 7)).toBe(true);
    expect(readdirSync('/proc/self/fd').filter((fd) => isWithin(root, fd))).toEqual([]);
  });
});

async function preparedDisk(): Promise<{
  root: string;
  disk: Disk;
  fileAt: (path: string) => Promise<string>;
}> {
  const root = directoryWith({ 'dir/file': 'before', other: 'other' });
  utimesSync(join(root, 'dir/file'), OLD, OLD);
  const disk = await diskOf(root);
  const volume = await volumeOf(disk);
  const files = pathsOf(volume.root);
  const fileAt = async (path: string) => {
    const { offset, size } = files.get(path) as FatFile;
    return Buffer.from(await read(disk.device, volume.base + offset, size)).toString();
  };
  return { root, disk, fileAt };
}

function isWithin(root: string, descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(root);
  } catch {
    // That of the listing itself.
    return false;
  }
}
