import { once } from 'node:events';
import {
  mkdtemp,
  open as openFile,
  readFile,
  readdir,
  readlink,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import data from '../src/index.js';
import { bytesOf, errorOf, extentsOf, open, read } from './disk.js';

// Processes and large strings take their time where much else is running.
vi.setConfig({ testTimeout: 60_000 });

let cwd: string;

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'plugin-data-'));
});

afterEach(async () => {
  await rm(cwd, { recursive: true });
});

/** Uses a plugin in the directory of the test and closes it. */
async function withDisk<T>(
  words: string[],
  use: (disk: Awaited<ReturnType<typeof open>>) => Promise<T>,
): Promise<T> {
  const plugin = await data.fromArguments(words, { cwd });
  try {
    return await use(await open(plugin));
  } finally {
    await plugin.close?.();
  }
}

const textOf = (...words: string[]): Promise<string> =>
  withDisk(words, async (disk) => Buffer.from(await bytesOf(disk)).toString('latin1'));

/** `length` bytes that are all different from their neighbours. */
const pattern = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7) % 251));

test('a file is part of the disk, also sliced, and a slice of it may reach past its end', async () => {
  await writeFile(join(cwd, 'small'), 'abcdefghij');
  expect(await textOf('<small')).toBe('abcdefghij');
  expect(
    await textOf('<small*2 <small[:3] "|" <small[3:5] "|" <small[8:100] "|" <small[20:30] (<small)[:100]'),
  ).toBe('abcdefghijabcdefghijabc|de|ij|abcdefghij');
  expect(await textOf(`<${join(cwd, 'small')} @^4 $f[:3]`, 'f=<small')).toBe('abcdefghij\0\0abc');
});

test('a name that stands for a file has the length of the file', async () => {
  await writeFile(join(cwd, 'small'), 'abcdefghij');
  expect(await textOf('<small -> \\f \\f[2:4]')).toBe('cd');
  const past = await errorOf([`<${cwd}/small -> \\f \\f[:100]`]);
  expect(past).toMatch(/expected a slice of what is before it, which is 10 bytes long/);
});

test('a large file is read where it is needed, when it is needed', async () => {
  const path = join(cwd, 'large');
  const content = pattern(100_000);
  await writeFile(path, content);
  await withDisk(['@512 <large (<large[10:20])*2 <large'], async (disk) => {
    expect(await extentsOf(disk)).toEqual([
      { length: 512n, flags: 3 },
      { length: 200_020n, flags: 0 },
    ]);
    expect(await read(disk, 1512n, 1000)).toEqual(Uint8Array.from(content.subarray(1000, 2000)));
    expect(
      Buffer.from(await bytesOf(disk)).equals(
        Buffer.concat([
          Buffer.alloc(512),
          content,
          content.subarray(10, 20),
          content.subarray(10, 20),
          content,
        ]),
      ),
    ).toBe(true);

    const file = await openFile(path, 'r+');
    await file.write('new', 5000);
    await file.close();
    expect(Buffer.from(await read(disk, 5512n, 3)).toString()).toBe('new');

    await truncate(path, 6000);
    await expect(read(disk, 6400n, 200)).rejects.toMatchObject({
      code: 'EIO',
      message: `${path} is shorter than it was when the disk was made`,
    });
  });
});

test('a file repeated over a read is read once for it', async () => {
  await writeFile(join(cwd, 'large'), pattern(5000));
  await withDisk(['(<large 1)*1000000'], async (disk) => {
    const period = Buffer.concat([pattern(5000), Buffer.of(1)]);
    const expected = Buffer.concat([period.subarray(17), period, period, period, period.subarray(0, 9)]);
    expect(Buffer.from(await read(disk, 5001n * 999n + 17n, expected.length)).equals(expected)).toBe(true);
  });
});

test('a sparse file of a terabyte is there at once', async () => {
  await writeFile(join(cwd, 'huge'), 'start');
  await truncate(join(cwd, 'huge'), 2 ** 40);
  await withDisk(['<huge "end"'], async (disk) => {
    expect(disk.size).toBe(2n ** 40n + 3n);
    expect(Buffer.from(await read(disk, 2n ** 40n - 1n, 4)).toString()).toBe('\0end');
  });
});

test('files stay open once each, until the plugin is closed', async () => {
  const path = join(cwd, 'large');
  await writeFile(path, pattern(5000));
  const times = async (): Promise<number> => {
    const descriptors = await readdir('/proc/self/fd');
    const targets = await Promise.all(
      descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
    );
    return targets.filter((target) => target === path).length;
  };
  await withDisk(['<large <large[5:] <large -> \\a \\a'], async () => {
    expect(await times()).toBe(1);
  });
  expect(await times()).toBe(0);
  await errorOf([`<${path} \\unknown`]);
  await errorOf([`<${path} </does-not-exist`]);
  expect(await times()).toBe(0);
});

test('files of /proc, which have no size, are read all the same', async () => {
  expect(await textOf('</proc/sys/kernel/ostype')).toBe(await readFile('/proc/sys/kernel/ostype', 'latin1'));
});

test('a device is read once', async () => {
  await withDisk(
    ['</dev/urandom[:512]*16 </dev/urandom[1000:1512] </dev/zero[:3] </dev/null'],
    async (disk) => {
      expect(disk.size).toBe(17n * 512n + 3n);
      const bytes = Buffer.from(await bytesOf(disk));
      for (let i = 1; i < 16; i++)
        expect(bytes.subarray(512 * i, 512 * (i + 1)).equals(bytes.subarray(0, 512))).toBe(true);
      expect(bytes.subarray(512 * 16, 512 * 17).equals(bytes.subarray(0, 512))).toBe(false);
    },
  );
});

test('a device without an end is an error, at the limit', async () => {
  expect(await errorOf(['1 </dev/zero', 'script-limit=1M'])).toBe(
    [
      "plugin-data: line 1: /dev/zero can't be read: it gives more than 1 MiB. " +
        'Read part of it, as in </dev/zero[:512], or raise script-limit=SIZE',
      '  1 </dev/zero',
      '    ^',
    ].join('\n'),
  );
  expect(await errorOf(['</dev/zero[:1025k]', 'script-limit=1M'])).toMatch(/gives more than 1 MiB/);
});

test.each([
  ['</does-not-exist', /^plugin-data: line 1: \/does-not-exist can't be read: ENOENT/],
  ['</', /^plugin-data: line 1: \/ can't be read: EISDIR/],
  ['</dev/zero[5:3]', /^plugin-data: line 1: expected a slice that ends after it begins/],
])('files that are no files: %s', async (text, message) => {
  expect(await errorOf([text])).toMatch(message);
});

test('what a script prints is part of the disk', async () => {
  expect(await textOf('<( for i in 0 1 2; do printf "%02d" $i; done ) "|" <(printf "(a)")*2')).toBe(
    '000102|(a)(a)',
  );
  expect(await textOf('<(printf abc)[:2] <(printf abc)[1:] <(printf abc)[1:2] <(printf abc)[:]')).toBe(
    'abbcbabc',
  );
  expect(await textOf('<(printf abc)[:5]')).toBe('abc');
});

test('a script has the directory and the environment of the plugin, and nothing to read', async () => {
  const plugin = await data.fromArguments(['<(pwd; echo $word; cat)'], {
    cwd,
    env: { ...process.env, word: 'here' },
  });
  expect(Buffer.from(await bytesOf(await open(plugin))).toString()).toBe(`${cwd}\nhere\n`);
});

test('a script runs once, however often it is used and read', async () => {
  const words = [
    '(<(echo ran >> runs; printf ab) -> \\a \\a \\a*100)*3 $v $v*2',
    'v=<(echo ran >> runs; echo)',
  ];
  await withDisk(words, async (disk) => {
    await bytesOf(disk);
    await bytesOf(disk);
  });
  expect(await readFile(join(cwd, 'runs'), 'utf8')).toBe('ran\nran\n');
});

test('a script that is not needed does not run', async () => {
  expect(await textOf('<(touch ran) -> \\a <(touch ran)*0 <(touch ran)[3:3] 0x41')).toBe('A');
  expect(await readdir(cwd)).toEqual([]);
});

test('a slice stops a script without an end', async () => {
  expect(await textOf('<( i=0; while :; do printf "%04d" $i; i=$((i+1)); done )[:12]')).toBe('000000010002');
  expect(await textOf('((<(yes)))[:4] $y[:2]', 'y=<(yes)')).toBe('y\ny\ny\n');
  expect(await textOf('<(printf abc; exit 1)[:3]')).toBe('abc');
});

test('everything that a script has started ends with it', async () => {
  const server = createServer().listen(join(cwd, 'socket'));
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const started = `require("net").connect("socket", () => console.log("up"))`;
  expect(await textOf(`<("${process.execPath}" -e '${started}'; true)[:2]`)).toBe('up');
  const [socket] = await connected;
  socket.on('error', () => undefined).resume();
  if (!socket.destroyed) await once(socket, 'close');
  server.close();
});

test.each([
  ['1 <(exit 3)', 'this script failed with exit status 3'],
  ['1 <(printf abc; exit 1)', 'this script failed with exit status 1'],
  ['1 <(printf abc; exit 1)[:4]', 'this script failed with exit status 1'],
  ['1 <(printf abc; exit 1)[1:2]', 'this script failed with exit status 1'],
  ['1 <(kill -9 $$)', 'this script failed with SIGKILL'],
  [
    '1 <(yes)',
    'this script prints more than 64 KiB. A slice from its start, <( … )[:N], stops it; script-limit=SIZE lets it print more',
  ],
  [
    '1 <(yes)[:65537]',
    'this script prints more than 64 KiB. A slice from its start, <( … )[:N], stops it; script-limit=SIZE lets it print more',
  ],
])('scripts that fail: %s', async (text, message) => {
  expect(await errorOf([text, 'script-limit=64k'])).toBe(`plugin-data: line 1: ${message}\n  ${text}\n    ^`);
});

test('the limit of a script can be raised', async () => {
  const length = async (limit: string): Promise<bigint> =>
    withDisk(['<(yes)[:100k] <(head -c 100k /dev/zero)', `script-limit=${limit}`], ({ size }) =>
      Promise.resolve(size),
    );
  expect(await length('100k')).toBe(204_800n);
});
