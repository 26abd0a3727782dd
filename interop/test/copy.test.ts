import { randomBytes } from 'node:crypto';
import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  collect,
  describeWith,
  has,
  NBD_COPY,
  NBD_SERVE,
  nbdCopy,
  run,
  serve,
  startChild,
  temporaryDirectory,
  type TemporaryDirectory,
} from '../harness/index.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(' ');
const COPY = quoted([process.execPath, NBD_COPY]);
const SERVE = quoted([process.execPath, NBD_SERVE]);

/** Runs a line as people type it, where `nbd-copy` and `nbd-serve` are ours. */
function shell(line: string, cwd?: string) {
  const ours = `nbd-copy() { ${COPY} "$@"; }; nbd-serve() { ${SERVE} "$@"; }; set -o pipefail; ${line}`;
  return run('bash', ['-c', ours], { ...(cwd !== undefined && { cwd }) });
}

interface Shape {
  readonly size: number;
  /** Offsets and lengths in bytes; all else is a hole. */
  readonly data: readonly (readonly [offset: number, length: number])[];
}

/** The ones that go everywhere, streams included, are small. */
const SHAPES: Record<string, Shape> = {
  mixed: {
    size: 3 * MiB,
    data: [
      [0, 512],
      [300 * KiB, 700 * KiB],
      [2 * MiB, 4096],
    ],
  },
  dense: { size: 2 * MiB, data: [[0, 2 * MiB]] },
  sparse: { size: 8 * MiB, data: [] },
  empty: { size: 0, data: [] },
  'odd-sized': {
    size: MiB + 4097,
    data: [
      [64 * KiB, 64 * KiB],
      [MiB + 4000, 97],
    ],
  },
};

const GIANT: Shape = {
  size: 5 * GiB,
  data: [
    [GiB + 4096, MiB],
    [5 * GiB - 65_536, 65_536],
  ],
};

async function writeShape(path: string, { size, data }: Shape): Promise<string> {
  await writeFile(path, '');
  await truncate(path, size);
  const file = await open(path, 'r+');
  for (const [offset, length] of data) await file.write(randomBytes(length), 0, length, offset);
  await file.sync();
  await file.close();
  return path;
}

/** Bytes that a file takes on the disk. */
async function allocated(path: string): Promise<number> {
  await run('sync', [path]);
  return (await stat(path)).blocks * 512;
}

/** Blocks of a file system and of the search for zeroes, at both ends of each stretch of data. */
function mostAllocated({ data }: Shape): number {
  return data.reduce((sum, [, length]) => sum + length + 2 * 4096, 64 * KiB);
}

/** Copies with the word that it is given, and settles when that is over. */
type Copy = (word: readonly string[], input?: Uint8Array) => Promise<Buffer>;

/** Offers the file at `path` as a source to `copy`. */
const SOURCES: Record<string, (path: string, copy: Copy, directory: TemporaryDirectory) => Promise<Buffer>> =
  {
    async 'an NBD URI'(path, copy) {
      await using server = await serve(['--readonly', 'plugin-file', path]);
      return await copy([server.uri]);
    },
    'a file': (path, copy) => copy([path]),
    'standard input': async (path, copy) => copy(['-'], await readFile(path)),
    async 'a pipe'(path, copy, directory) {
      const pipe = directory.file('source.fifo');
      await run('mkfifo', [pipe]);
      const [copied] = await Promise.all([copy([pipe]), run('sh', ['-c', `cat '${path}' > '${pipe}'`])]);
      return copied;
    },
    'a captive server': (path, copy) => copy(['[', 'nbdkit', '--readonly', 'file', path, ']']),
    'a plugin': (path, copy) => copy([`plugin:file?file=${path}`]),
  };

/** Copies to the path, by way of a destination. What is there is other data, of the right size, at first. */
const DESTINATIONS: Record<
  string,
  (path: string, copy: Copy, directory: TemporaryDirectory) => Promise<void>
> = {
  async 'an NBD URI'(path, copy) {
    await using server = await serve(['plugin-file', path]);
    await copy([server.uri]);
  },
  async 'a file'(path, copy) {
    await copy([path]);
  },
  async 'standard output'(path, copy) {
    await writeFile(path, await copy(['-']));
  },
  async 'a pipe'(path, copy, directory) {
    const pipe = directory.file('destination.fifo');
    await run('mkfifo', [pipe]);
    await Promise.all([copy([pipe]), run('sh', ['-c', `cat '${pipe}' > '${path}'`])]);
  },
  async 'a captive server'(path, copy) {
    await copy(['[', 'nbdkit', 'file', path, ']']);
  },
  async 'a plugin'(path, copy) {
    await copy([`plugin:file?file=${path}`]);
  },
};

const isStream = (name: string) => name.startsWith('standard') || name === 'a pipe';

async function copyBetween(source: string, destination: string, shape: Shape): Promise<void> {
  await using directory = await temporaryDirectory();
  const original = await writeShape(directory.file('original'), shape);
  const result = directory.file('result');
  await run('sh', ['-c', `head -c ${Math.min(shape.size, 16 * MiB)} /dev/urandom > '${result}'`]);
  await truncate(result, shape.size);
  await DESTINATIONS[destination]!(
    result,
    (to) =>
      SOURCES[source]!(
        original,
        async (from, input) => {
          const { bytes, stderr } = await nbdCopy([...from, ...to], { ...(input && { input }) });
          expect(stderr).toBe('');
          return bytes;
        },
        directory,
      ),
    directory,
  );
  // It does not read what is a hole in both.
  await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', original, result]);
  expect((await stat(result)).size).toBe(shape.size);
  // What goes through a stream has no holes any more for whoever takes it out.
  if (!isStream(destination)) expect(await allocated(result)).toBeLessThanOrEqual(mostAllocated(shape));
}

const pairs = Object.keys(SOURCES).flatMap((source) =>
  Object.keys(DESTINATIONS).map((destination) => ({ source, destination })),
);
const onesWithFile = pairs.filter(
  ({ source, destination }) => source === 'a file' || destination === 'a file',
);

describeWith(['nbdkit', 'qemu-img'], 'nbd-copy', () => {
  test.each(pairs)('from $source to $destination, equal and sparse', async ({ source, destination }) => {
    await copyBetween(source, destination, SHAPES['mixed']!);
  });

  describe.each(['dense', 'sparse', 'empty', 'odd-sized'])('a disk that is %s', (shape) => {
    test.each(onesWithFile)('from $source to $destination', async ({ source, destination }) => {
      await copyBetween(source, destination, SHAPES[shape]!);
    });
  });

  describe('5 GiB, mostly holes', () => {
    test.each(onesWithFile.filter(({ source, destination }) => !isStream(source) && !isStream(destination)))(
      'from $source to $destination',
      async ({ source, destination }) => {
        await copyBetween(source, destination, GIANT);
      },
    );
  });
});

describeWith(['qemu-nbd', 'qemu-img', 'qemu-io', 'hexdump'], 'what people type', () => {
  /** A qcow2 image with data in some places. */
  async function qcow2(path: string): Promise<void> {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, '64M']);
    await run('qemu-io', ['-c', 'write -P 7 1M 3M', '-c', 'write -P 9 63M 100k', path]);
  }

  test('nbd-copy URI - | hexdump -C', async () => {
    await using server = await serve(['plugin-data', '"hello, world"', 'size=512']);
    const { stdout } = await shell(`nbd-copy '${server.uri}' - | hexdump -C`);
    expect(stdout).toBe(
      [
        '00000000  68 65 6c 6c 6f 2c 20 77  6f 72 6c 64 00 00 00 00  |hello, world....|',
        '00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|',
        '*',
        '00000200',
        '',
      ].join('\n'),
    );
  });

  test('nbd-copy -- [ qemu-nbd -f qcow2 disk.qcow2 ] disk.raw', async () => {
    await using directory = await temporaryDirectory();
    await qcow2(directory.file('disk.qcow2'));
    await shell('nbd-copy -- [ qemu-nbd -f qcow2 disk.qcow2 ] disk.raw', directory.path);
    await run('qemu-img', [
      'compare',
      '-f',
      'qcow2',
      '-F',
      'raw',
      directory.file('disk.qcow2'),
      directory.file('disk.raw'),
    ]);
    expect(await allocated(directory.file('disk.raw'))).toBeLessThan(4 * MiB);
  });

  test('cat disk1 disk2 | nbd-copy -- - [ qemu-nbd -f qcow2 out.qcow2 ]', async () => {
    await using directory = await temporaryDirectory();
    await writeShape(directory.file('disk1'), SHAPES['mixed']!);
    await writeShape(directory.file('disk2'), SHAPES['dense']!);
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', directory.file('out.qcow2'), '10M']);
    await shell('cat disk1 disk2 | nbd-copy -- - [ qemu-nbd -f qcow2 out.qcow2 ]', directory.path);
    await shell(
      'nbd-copy -- [ qemu-nbd -f qcow2 out.qcow2 ] out.raw; cat disk1 disk2 | cmp -n 5M - out.raw',
      directory.path,
    );
  });

  test("nbd-serve -U - plugin-sparse-random SIZE --run 'nbd-copy $uri $uri'", async () => {
    await shell(`nbd-serve -U - plugin-sparse-random 2G --run '${COPY.replaceAll("'", '"')} "$uri" "$uri"'`);
  });

  test('the same without a server: plugin to plugin', async () => {
    await nbdCopy(['plugin:sparse-random?size=16G&seed=5', 'plugin:sparse-random?size=16G&seed=5']);
    const other = await nbdCopy(
      ['plugin:sparse-random?size=16G&seed=5', 'plugin:sparse-random?size=16G&seed=6'],
      { anyCode: true },
    );
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/failed at offset \d+: EIO/) as string,
    });
  });

  test('a compressed image by way of qemu-nbd, and by way of qemu-img', async () => {
    await using directory = await temporaryDirectory();
    const source = 'data?data=(1 2 3 4)*2000000&size=16M';
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', directory.file('out.qcow2'), '16M']);
    const options = `driver=compress,file.driver=qcow2,file.file.driver=file,file.file.filename=out.qcow2`;
    await shell(
      `nbd-copy --sparse=64K 'plugin:${source}' [ qemu-nbd --image-opts ${options} ]`,
      directory.path,
    );
    expect(await allocated(directory.file('out.qcow2'))).toBeLessThan(2 * MiB);
    await using server = await serve(['plugin-data', '(1 2 3 4)*2000000', 'size=16M']);
    await run('qemu-img', ['convert', '-c', '-O', 'qcow2', server.uri, directory.file('img.qcow2')]);
    await run('qemu-img', ['compare', directory.file('out.qcow2'), directory.file('img.qcow2')]);
  });
});

describe('nbd-copy', () => {
  test('writes to a larger disk, and leaves what is beyond alone', async () => {
    await using directory = await temporaryDirectory();
    await writeShape(directory.file('small'), SHAPES['mixed']!);
    await writeShape(directory.file('large'), { size: 4 * MiB, data: [[0, 4 * MiB]] });
    const before = await readFile(directory.file('large'));
    await nbdCopy([directory.file('small'), `plugin:file?file=${directory.file('large')}`]);
    const after = await readFile(directory.file('large'));
    expect(after.subarray(0, 3 * MiB).equals(await readFile(directory.file('small')))).toBe(true);
    expect(after.subarray(3 * MiB).equals(before.subarray(3 * MiB))).toBe(true);
  });

  test('refuses a disk that is too small, and writes nothing to it', async () => {
    await using directory = await temporaryDirectory();
    await writeShape(directory.file('source'), SHAPES['dense']!);
    await writeShape(directory.file('small'), { size: MiB, data: [[0, MiB]] });
    const before = await readFile(directory.file('small'));
    const result = await nbdCopy([directory.file('source'), `plugin:file?file=${directory.file('small')}`], {
      anyCode: true,
    });
    expect(result).toMatchObject({
      code: 1,
      stderr: `nbd-copy: plugin:file is too small: it has 1048576 bytes, and ${directory.file('source')} has 2097152\n`,
    });
    expect((await readFile(directory.file('small'))).equals(before)).toBe(true);
  });

  test('a file that is longer gets the size of the source, and stays the same file', async () => {
    await using directory = await temporaryDirectory();
    await writeShape(directory.file('source'), SHAPES['odd-sized']!);
    await writeShape(directory.file('result'), { size: 4 * MiB, data: [[0, 4 * MiB]] });
    const { ino } = await stat(directory.file('result'));
    await nbdCopy([directory.file('source'), directory.file('result')]);
    await run('cmp', [directory.file('source'), directory.file('result')]);
    expect(await stat(directory.file('result'))).toMatchObject({ ino, size: MiB + 4097 });
  });

  test('gives a fully allocated destination where that is wanted', async () => {
    await using directory = await temporaryDirectory();
    await writeShape(directory.file('source'), SHAPES['mixed']!);
    await nbdCopy(['--allocated', directory.file('source'), directory.file('result')]);
    await run('cmp', [directory.file('source'), directory.file('result')]);
    expect(await allocated(directory.file('result'))).toBeGreaterThanOrEqual(3 * MiB);
  });

  test('copies a disk of 7 EiB in an instant, but for what it holds', async () => {
    const { stderr } = await nbdCopy(['-v', 'plugin:data?data=@0x6fffffffffffffff 1&size=7E', 'null:']);
    expect(stderr).toMatch(/copied 7 EiB in .*; /);
    if (!(await stat('/dev/shm').catch(() => undefined))) return;
    await using directory = await temporaryDirectory('/dev/shm');
    await nbdCopy(['plugin:data?data=@0x6fffffffffffffff 1&size=7E', directory.file('giant')]);
    const { stdout } = await shell('tail -c 3 giant | od -An -tx1', directory.path);
    expect(stdout.trim()).toBe('00 00 01');
  });

  test('holds no more memory than its queues', async () => {
    const bound = 4 * 64 * MiB;
    await using server = await serve(['plugin-sparse-random', '2G', 'seed=1', 'percent=100']);
    const sizes = ['--connections=4', '--requests=64', '--request-size=1M', '--queue-size=64M'];
    const { stderr } = await nbdCopy(['-v', ...sizes, server.uri, server.uri]);
    const [, most] = /(\S+) MiB of memory at most/.exec(stderr)!;
    // Beside the payloads, Node itself and what the kernel has not taken yet.
    expect(Number(most) * MiB).toBeLessThan(bound + 192 * MiB);
  });

  test('talks to a Unix socket that gives or takes bytes', async () => {
    await using directory = await temporaryDirectory();
    await writeShape(directory.file('source'), SHAPES['odd-sized']!);
    const bytes = await readFile(directory.file('source'));
    const giver = createServer((socket) => socket.end(bytes)).listen(directory.file('gives'));
    await nbdCopy([directory.file('gives'), directory.file('result')]);
    giver.close();
    await run('cmp', [directory.file('source'), directory.file('result')]);
    const got = new Promise<Buffer>((resolve) => {
      const taker = createServer((socket) => {
        const chunks: Buffer[] = [];
        socket.on('data', (chunk) => chunks.push(chunk));
        socket.on('end', () => {
          taker.close();
          resolve(Buffer.concat(chunks));
        });
      }).listen(directory.file('takes'));
    });
    await nbdCopy([directory.file('source'), directory.file('takes')]);
    expect((await got).equals(bytes)).toBe(true);
  });

  test.runIf(has('script'))('does not write a disk to a terminal', async () => {
    const { code, stdout } = await run('script', ['-qec', `${COPY} plugin:memory?size=1M -`, '/dev/null'], {
      anyCode: true,
    });
    expect(code).toBe(2);
    expect(stdout).toMatch(/standard output is a terminal/);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'at %s it stops what it has started, and says what is left',
    async (signal) => {
      await using directory = await temporaryDirectory();
      const result = directory.file('result');
      const pidFile = directory.file('pid');
      const { child, ended } = startChild(process.execPath, [
        NBD_COPY,
        '--progress=json',
        ...['[', 'nbdkit', '-P', pidFile, '--filter=delay', 'pattern', '1G', 'rdelay=1', ']'],
        result,
      ]);
      const errors = collect(child.stderr);
      await errors.match(/"done":/);
      const pid = Number(await readFile(pidFile, 'utf8'));
      child.kill(signal);
      const { code } = await ended;
      expect(code).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(errors.text()).toContain(
        `nbd-copy: interrupted by ${signal}; ${result}.partial is incomplete\n`,
      );
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
      await expect(stat(result)).rejects.toThrow('ENOENT');
    },
  );
});
