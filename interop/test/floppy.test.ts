import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { expect, test } from 'vitest';
import {
  describeWith,
  guestfish,
  GUESTFISH_TIMEOUT,
  run,
  serve,
  temporaryDirectory,
  type Server,
} from '../harness/index.js';
import { awkward, emojiAndScripts, makeTree, plainTrees, type Tree } from './floppy-trees.js';

/** A zone that is neither UTC's nor whole hours away: mtools show the tree's dates only if both are in it. */
const ENV = { TZ: 'America/St_Johns', LC_ALL: 'C.UTF-8' };
/** In summer there. FAT has even seconds. */
const MODIFIED = new Date('2023-07-08T09:10:12Z');

describeWith(
  ['nbdcopy', 'dd', 'fsck.fat', 'mcopy', 'mdir', 'fdisk'],
  'plugin-floppy, seen by dosfstools and mtools',
  () => {
    test.each(Object.entries(plainTrees))(
      '%s: every byte, name and date',
      { timeout: 240_000 },
      async (_name, tree) => {
        await using disk = await diskOf(tree);
        await expectClean(disk);
        expect(filesIn(await mcopied(disk))).toEqual(filesIn(disk.source));
      },
    );

    test.each(['fat12', 'fat16', 'fat32'])('format=%s', async (format) => {
      await using disk = await diskOf(plainTrees['3 files']!, [`format=${format}`]);
      expect(await expectClean(disk)).toContain(`${format.slice(3)} bit entries`);
      expect(filesIn(await mcopied(disk))).toEqual(filesIn(disk.source));
    });

    test('names in several scripts and with emoji: every byte', async () => {
      await using disk = await diskOf(emojiAndScripts);
      await expectClean(disk);
      // mtools show no characters beyond 16 bits. Below, Linux does.
      expect(contentsOf(await mcopied(disk))).toEqual(contentsOf(disk.source));
      expect(disk.warnings()).toEqual([]);
    });

    test('names that FAT does not have: every byte, and a warning for each', async () => {
      await using disk = await diskOf(awkward);
      await expectClean(disk);
      expect(contentsOf(await mcopied(disk))).toEqual(contentsOf(disk.source));
      expect(disk.warnings().length).toBe(awkward.length);
    });

    test('a sparse file of 4 GiB - 1', { timeout: 240_000 }, async () => {
      await using disk = await diskOf([['sparse', '']], [], (source) => {
        truncateSync(`${source}/sparse`, 2 ** 32 - 1);
      });
      expect([[], OVERFLOW]).toContainEqual((await fsck(disk)).complaints);
      const script = 'mcopy -i "$1" ::sparse - | cmp - "$2"';
      await run('sh', ['-c', script, 'sh', disk.volume, `${disk.source}/sparse`], { timeout: 200_000 });
    });

    test('fdisk finds the partition, mtools an empty root directory', async () => {
      await using disk = await diskOf([], ['format=fat16', 'size=30M', 'label=my label']);
      const { stdout, stderr } = await run('fdisk', ['--list', '--output', 'Start,End,Id', disk.image]);
      expect(stdout).toMatch(/Start +End +Id\n +2048 +61439 +4\n$/);
      expect(stderr).toBe('');
      const { stdout: listing } = await run('mdir', ['-i', `${disk.image}@@1M`, '::'], {
        env: ENV,
        anyCode: true,
      });
      expect(listing).toContain('Volume in drive : is MY LABEL');
    });

    test.each(['160K', '180K', '320K', '360K', '720K', '1200K', '1440K', '2880K'])(
      'a floppy of %s',
      async (size) => {
        await using disk = await diskOf(plainTrees['3 files']!, ['partition=none', `size=${size}`]);
        await expectClean(disk);
        expect(filesIn(await mcopied(disk))).toEqual(filesIn(disk.source));
      },
    );

    test('reading a file that has changed fails, and the log says so once', async () => {
      await using disk = await diskOf(plainTrees['3 files']!);
      utimesSync(`${disk.source}/notes.txt`, new Date(), new Date());
      for (let i = 0; i < 2; i++) {
        const { code, stderr } = await run('nbdcopy', [disk.server.uri, 'null:'], { anyCode: true });
        expect(code).not.toBe(0);
        expect(stderr).toContain('Input/output error');
      }
      expect(disk.warnings()).toEqual([
        `plugin-floppy: ${disk.source}/notes.txt was modified; reads of its data fail until the disk is made anew`,
      ]);
    });
  },
);

describeWith(['guestfish', 'nbdcopy', 'dd'], 'plugin-floppy, mounted by Linux', () => {
  const findAndSum = (device: string) => [
    ...['run', `mount-options ro,utf8 ${device} /`, 'find /', 'echo --', 'checksums-out sha256 / -'],
    ...['echo --', 'glob statns /*'],
  ];

  test('a tree with names in several scripts and with emoji', { timeout: GUESTFISH_TIMEOUT }, async () => {
    await using disk = await diskOf(emojiAndScripts, ['utc=true']);
    const [names, sums, dates] = (await guestfish(disk.server.uri, findAndSum('/dev/sda1'))).split('--\n');
    expectSameTree(disk, names!, sums!);
    expect(dates!.match(/(?<=st_mtime_sec: )\d+/g)).toContain(String(MODIFIED.getTime() / 1000));
  });

  test('2 000 small files in one directory, on FAT32', { timeout: GUESTFISH_TIMEOUT }, async () => {
    await using disk = await diskOf(plainTrees['2 000 small files in one directory']!, ['format=fat32']);
    const [names, sums] = (await guestfish(disk.server.uri, findAndSum('/dev/sda1'))).split('--\n');
    expectSameTree(disk, names!, sums!);
  });

  test('a floppy of 1.44 MB', { timeout: GUESTFISH_TIMEOUT }, async () => {
    await using disk = await diskOf(plainTrees['3 files']!, ['partition=none', 'size=1440K']);
    const [names, sums] = (await guestfish(disk.server.uri, findAndSum('/dev/sda'))).split('--\n');
    expectSameTree(disk, names!, sums!);
  });
});

describeWith(['qemu-system-i386', 'nbdcopy', 'dd'], 'plugin-floppy in a drive of qemu', () => {
  test('is a 1.44 MB floppy', async () => {
    await using disk = await diskOf(plainTrees['3 files']!, ['partition=none', 'size=1440K']);
    const drive = `file=${disk.server.uri},format=raw,if=floppy,readonly=on`;
    const { stdout } = await run(
      'qemu-system-i386',
      ['-accel', 'tcg', '-display', 'none', '-S', '-drive', drive, '-monitor', 'stdio'],
      { input: 'info qtree\nquit\n' },
    );
    expect(stdout).toContain('drive-type = "144"');
  });
});

describeWith(['nbdinfo'], 'plugin-floppy with 100 000 files', () => {
  test('takes less than 200 MB of memory', { timeout: 240_000 }, async () => {
    await using scratch = await temporaryDirectory();
    const source = scratch.file('source');
    for (let i = 0; i < 100; i++) {
      mkdirSync(`${source}/directory ${i}`, { recursive: true });
      for (let j = 0; j < 1000; j++)
        writeFileSync(`${source}/directory ${i}/an ordinary name ${j}.text`, '.');
    }
    await using server = await serve(['plugin-floppy', source]);
    await run('nbdinfo', ['--map', server.uri]);
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))!;
    expect(Number(kib) * 1024).toBeLessThan(200e6);
  });
});

interface Disk extends AsyncDisposable {
  /** The directory that is on the disk. */
  readonly source: string;
  readonly server: Server;
  /** A copy of the disk. */
  readonly image: string;
  /** A copy of the volume on it. */
  readonly volume: string;
  /** Where there is nothing yet. */
  readonly elsewhere: string;
  /** What the plugin has warned of. */
  warnings(): string[];
}

/** @param change what is done to the directory before it is served. */
async function diskOf(
  tree: Tree,
  words: readonly string[] = [],
  change?: (source: string) => void,
): Promise<Disk> {
  const directory = await temporaryDirectory();
  const source = directory.file('source');
  makeTree(source, tree, MODIFIED);
  change?.(source);
  const server = await serve(['plugin-floppy', source, ...words], { env: ENV });
  const dispose = async () => {
    await server.stop();
    await directory[Symbol.asyncDispose]();
  };
  try {
    const image = directory.file('disk.img');
    await run('nbdcopy', [server.uri, image], { timeout: 200_000 });
    const isBare = words.includes('partition=none');
    const volume = isBare ? image : directory.file('volume.img');
    const cut = ['bs=1M', 'skip=1', 'conv=sparse', `if=${image}`, `of=${volume}`];
    if (!isBare) await run('dd', cut, { timeout: 200_000 });
    const warnings = () =>
      server
        .stderr()
        .split('\n')
        .filter((line) => line.startsWith('plugin-floppy: '));
    return {
      source,
      server,
      image,
      volume,
      elsewhere: directory.file('copy'),
      warnings,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** What fsck.fat says of every volume; anything else is a complaint. */
const FACTS = new RegExp(
  [
    'fsck\\.fat .*',
    'Checking (we can access the last sector of the filesystem|for unused clusters\\.|free cluster summary\\.)',
    'Boot sector contents:',
    'System ID "MSWIN4\\.1"',
    'Media byte 0x.. \\(.*\\)',
    ' *\\d+ (bytes per (logical sector|cluster)|reserved sectors?|FATs, (12|16|32) bit entries|bytes per FAT .*)',
    ' *\\d+ (root directory entries|data clusters \\(\\d+ bytes\\)|hidden sectors|sectors total)',
    '(First FAT|Root directory|Data area) starts? at .*',
    '\\d+ sectors/track, \\d+ heads',
    '.*: \\d+ files, \\d+/\\d+ clusters',
  ]
    .map((line) => `^${line}$`)
    .join('|'),
);

/** @returns what fsck.fat says. */
async function expectClean(disk: Disk): Promise<string> {
  const { said, complaints } = await fsck(disk);
  expect(complaints).toEqual([]);
  return said;
}

async function fsck({ volume }: Disk): Promise<{ said: string; complaints: string[] }> {
  const { stdout, stderr } = await run('fsck.fat', ['-vn', volume], { timeout: 100_000, anyCode: true });
  const lines = `${stdout}${stderr}`.trimEnd().split('\n');
  expect(lines.at(-1)).toMatch(/: \d+ files, \d+\/\d+ clusters$/);
  return { said: stdout, complaints: lines.filter((line) => !FACTS.test(line)) };
}

/** What fsck.fat 4.2 says of 4 GiB of clusters, which are 0 in 32 bits: https://github.com/dosfstools/dosfstools/issues/208 */
const OVERFLOW = [
  '/sparse',
  '  File size is 4294967295 bytes, cluster chain length is 0 bytes.',
  '  Truncating file to 0 bytes.',
  '',
  'Leaving filesystem unchanged.',
];

/** Copies everything out of the volume, with its dates. */
async function mcopied({ volume, elsewhere }: Disk): Promise<string> {
  mkdirSync(elsewhere);
  await run('mcopy', ['-s', '-m', '-i', volume, '::', elsewhere], { env: ENV, timeout: 100_000 });
  return elsewhere;
}

interface FoundFile {
  readonly sha256: string;
  /** Seconds since 1970. */
  readonly modified: number;
}

/** All files under `root`, and directories, by their paths in bytes. */
function filesIn(root: string): Map<string, FoundFile | 'directory'> {
  const found = new Map<string, FoundFile | 'directory'>();
  const walk = (prefix: string) => {
    const path = Buffer.from(`${root}/${prefix}`, 'latin1');
    for (const entry of readdirSync(path, { encoding: 'buffer' })
      .map((name) => name.toString('latin1'))
      .sort()) {
      const inner = Buffer.from(`${root}/${prefix}${entry}`, 'latin1');
      const stats = statSync(inner);
      if (stats.isDirectory()) {
        found.set(`${prefix}${entry}/`, 'directory');
        walk(`${prefix}${entry}/`);
      } else {
        const sha256 = createHash('sha256').update(readFileSync(inner)).digest('hex');
        found.set(`${prefix}${entry}`, { sha256, modified: stats.mtimeMs / 1000 });
      }
    }
  };
  walk('');
  return found;
}

/** What is in the files under `root`, whatever their names. */
function contentsOf(root: string): string[] {
  return [...filesIn(root).values()].map((file) => (file === 'directory' ? file : file.sha256)).sort();
}

/** Compares with what Linux has listed: paths, and checksums of files. */
function expectSameTree({ source }: Disk, names: string, sums: string): void {
  const files = filesIn(source);
  const text = (path: string) => Buffer.from(path, 'latin1').toString();
  const paths = [...files.keys()].map((path) => text(path.replace(/\/$/, '')));
  expect(
    names
      .trimEnd()
      .split('\n')
      .filter((path) => path !== '')
      .sort(),
  ).toEqual(paths.sort());
  const expected = [...files].flatMap(([path, file]) =>
    file === 'directory' ? [] : [`${file.sha256}  ./${text(path)}`],
  );
  expect(sums.trimEnd().split('\n').sort()).toEqual(expected.sort());
}
