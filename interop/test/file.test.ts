import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import {
  collect,
  describeWith,
  guestfish,
  GUESTFISH_TIMEOUT,
  NBD_SERVE,
  randomOperations,
  run,
  serve,
  serveQemuNbd,
  startChild,
  temporaryDirectory,
  verification,
} from '../harness/index.js';

const MiB = 2 ** 20;
const GIANT = 2n ** 63n - 1n;

/** File systems that differ in what they can: tmpfs has no zeroing that keeps a range allocated. */
const PLACES = [tmpdir(), '/dev/shm'].filter((place) => existsSync(place));

/** Runs a script in nbdsh, with `h` connected. */
async function nbdsh(uri: string, script: string): Promise<string> {
  return (await run('nbdsh', ['-u', uri, '-c', script])).stdout;
}

/** A file with data in some places and holes between them. */
async function writeSparse(path: string): Promise<void> {
  await writeFile(path, '');
  await truncate(path, 64 * MiB);
  const file = await open(path, 'r+');
  for (const [offset, length] of [
    [0, 4096],
    [MiB, 3 * MiB],
    [8 * MiB, 64 * 1024],
    [8 * MiB + 128 * 1024, 4096],
    [63 * MiB, MiB],
  ] as const) {
    await file.write(randomBytes(length), 0, length, offset);
  }
  await file.sync();
  await file.close();
}

/** What qemu-img says of the extents of an image: where each starts, and whether it is data and zero. */
async function qemuMap(image: string): Promise<unknown[]> {
  const { stdout } = await run('qemu-img', ['map', '--output=json', '--force-share', '-f', 'raw', image]);
  const extents = JSON.parse(stdout) as { start: number; length: number; data: boolean; zero: boolean }[];
  return extents.map(({ start, length, data, zero }) => ({ start, length, data, zero }));
}

describeWith(['nbdsh', 'nbdinfo', 'qemu-img', 'qemu-io', 'qemu-nbd', 'filefrag'], 'plugin-file', () => {
  describe.each(PLACES)('in %s', (place) => {
    test('does what a model does, through thousands of operations, and so has the file', async () => {
      await using directory = await temporaryDirectory(place);
      const path = directory.file('disk');
      await writeFile(path, '');
      await truncate(path, 2 ** 40 + 777);
      await using server = await serve(['plugin-file', path]);
      const places = [0n, 2n ** 32n - 100_000n, 2n ** 40n + 777n - 262_144n];
      const model = await randomOperations(server.uri, { seed: 3, count: 3000, places });
      const file = await open(path);
      for (const [index, at] of places.entries()) {
        const content = Buffer.alloc(262_144);
        await file.read(content, 0, content.length, Number(at));
        expect(content.equals(model.subarray(index * 262_144, (index + 1) * 262_144))).toBe(true);
      }
      await file.close();
    }, 240_000);

    test('has the map that the file has', async () => {
      await using directory = await temporaryDirectory(place);
      const path = directory.file('sparse');
      await writeSparse(path);
      const map = await qemuMap(path);
      expect(map.length).toBeGreaterThan(6);
      await using server = await serve(['plugin-file', path]);
      expect(await qemuMap(server.uri)).toEqual(map);
    });

    test('allocates and frees what it is asked to', async () => {
      await using directory = await temporaryDirectory(place);
      const path = directory.file('disk');
      await writeFile(path, '');
      await truncate(path, 16 * MiB);
      await using server = await serve(['plugin-file', path]);
      const allocatedAfter = async (script: string): Promise<number> => {
        await nbdsh(server.uri, `${script}\nh.flush()`);
        return (await stat(path)).blocks * 512;
      };
      expect(await allocatedAfter('h.zero(4 << 20, 0)')).toBeLessThan(MiB);
      expect(await allocatedAfter('h.zero(4 << 20, 0, nbd.CMD_FLAG_NO_HOLE)')).toBeGreaterThanOrEqual(
        4 * MiB,
      );
      expect(await allocatedAfter('h.pwrite(b"x" * (4 << 20), 4 << 20)')).toBeGreaterThanOrEqual(8 * MiB);
      expect(await allocatedAfter('h.trim(4 << 20, 4 << 20)')).toBeLessThan(5 * MiB);
      expect(await allocatedAfter('h.zero(4 << 20, 0, nbd.CMD_FLAG_FAST_ZERO)')).toBeLessThan(MiB);
    });
  });

  test('has the extents that filefrag sees', async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file('sparse');
    await writeSparse(path);
    const { stdout } = await run('filefrag', ['-v', '-b1', path]);
    const rows = [...stdout.matchAll(/^ *\d+: +(\d+)\.\. *(\d+):/gm)];
    const fragments = rows.map(([, first, last]) => [Number(first), Number(last) + 1] as const);
    await using server = await serve(['plugin-file', path]);
    const map = (await qemuMap(server.uri)) as { start: number; length: number; data: boolean }[];
    const data = map
      .filter((extent) => extent.data)
      .map((extent) => [extent.start, extent.start + extent.length]);
    const joined: number[][] = [];
    for (const [start, end] of fragments) {
      if (joined.at(-1)?.[1] === start) joined.at(-1)![1] = end;
      else joined.push([start, end]);
    }
    expect(data).toEqual(joined);
  });

  test.skipIf(!existsSync('/dev/shm'))(
    'serves 2^63-1 bytes of a sparse file on tmpfs',
    async () => {
      await using directory = await temporaryDirectory('/dev/shm');
      const path = directory.file('giant');
      await run('truncate', ['-s', String(GIANT), path]);
      await using server = await serve(['plugin-file', path]);
      expect((await run('nbdinfo', ['--size', server.uri])).stdout).toBe(`${GIANT}\n`);
      const places = [0n, 2n ** 53n - 131_072n, 2n ** 62n, GIANT - 262_144n];
      await randomOperations(server.uri, { seed: 4, count: 2000, places });
    },
    240_000,
  );

  test('loses nothing that was flushed when it is killed', async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file('disk');
    await writeFile(path, '');
    await truncate(path, 64 * MiB);
    const content = randomBytes(8 * MiB);
    await writeFile(directory.file('content'), content);
    {
      await using server = await serve(['plugin-file', path]);
      await nbdsh(
        server.uri,
        `h.pwrite(open("${directory.file('content')}", "rb").read(), 12345)\nh.flush()`,
      );
      server.signal('SIGKILL');
      await server.ended;
    }
    await using server = await serve(['plugin-file', path]);
    const script = 'import hashlib\nprint(hashlib.sha256(h.pread(8 << 20, 12345)).hexdigest())';
    expect(await nbdsh(server.uri, script)).toBe(`${sha256(content)}\n`);
  });

  test('a file that may not be written is served read-only', async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file('disk');
    await writeFile(path, 'abc');
    await chmod(path, 0o444);
    await using server = await serve(['plugin-file', path]);
    expect((await run('nbdinfo', ['--is', 'read-only', server.uri])).code).toBe(0);
    expect(await nbdsh(server.uri, 'print(h.pread(3, 0))')).toBe("bytearray(b'abc')\n");
  });

  test('a file that is truncated meanwhile gives EIO, not zeroes', async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file('disk');
    await writeFile(path, Buffer.alloc(MiB, 1));
    await using server = await serve(['plugin-file', path]);
    await truncate(path, 4096);
    const script = `
import errno
try:
    h.pread(4096, 8192)
except nbd.Error as error:
    print(errno.errorcode[error.errnum])
print(h.pread(1, 4095))
`;
    expect(await nbdsh(server.uri, script)).toBe("EIO\nbytearray(b'\\x01')\n");
  });

  test('a second server on a file is refused, unless lock=off, and so are programs that heed locks', async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file('disk');
    await writeFile(path, Buffer.alloc(MiB, 1));
    await using server = await serve(['plugin-file', path]);
    const second = await run(process.execPath, [NBD_SERVE, '--unix', '-', 'plugin-file', path], {
      anyCode: true,
    });
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('lock=off') as string });
    const qemu = await run('qemu-io', ['-r', '-f', 'raw', '-c', 'read 0 512', path], { anyCode: true });
    expect(qemu).toMatchObject({ code: 1, stderr: expect.stringContaining('lock') as string });
    await using image = await temporaryDirectory();
    await writeFile(image.file('disk'), Buffer.alloc(MiB));
    await using qemuNbd = await serveQemuNbd(['--format=raw', image.file('disk')]);
    expect((await run('nbdinfo', ['--size', qemuNbd.uri])).stdout).toBe(`${MiB}\n`);
    const words = [NBD_SERVE, '--unix', '-', 'plugin-file', image.file('disk')];
    expect(await run(process.execPath, words, { anyCode: true })).toMatchObject({ code: 1 });
    await using third = await serve(['plugin-file', path, 'lock=off']);
    expect(await nbdsh(third.uri, 'print(h.pread(1, 0))')).toBe("bytearray(b'\\x01')\n");
    await server.stop();
    await using reader = await serve(['--readonly', 'plugin-file', path]);
    await using other = await serve(['--readonly', 'plugin-file', path]);
    expect((await run('nbdinfo', ['--size', reader.uri])).stdout).toBe(`${MiB}\n`);
    expect((await run('nbdinfo', ['--size', other.uri])).stdout).toBe(`${MiB}\n`);
  });

  test('the files of a directory are listed, and each is served by its name', async () => {
    await using directory = await temporaryDirectory();
    const disks = directory.file('disks');
    await mkdir(disks);
    await writeFile(`${disks}/a.img`, Buffer.alloc(1000, 0x61));
    await writeFile(`${disks}/b disk.img`, Buffer.alloc(2000, 0x62));
    await writeFile(directory.file('secret'), 'secret');
    await using server = await serve(['plugin-file', `dir=${disks}`]);
    const { stdout } = await run('nbdinfo', ['--list', '--json', server.uri]);
    const { exports } = JSON.parse(stdout) as { exports: Record<string, unknown>[] };
    expect(exports.map((one) => [one['export-name'], one['export-size']])).toEqual([
      ['a.img', 1000],
      ['b disk.img', 2000],
    ]);
    const uri = (name: string): string => `nbd+unix:///${encodeURIComponent(name)}?socket=${server.socket}`;
    expect(await nbdsh(uri('b disk.img'), 'print(h.pread(2, 1998))')).toBe("bytearray(b'bb')\n");
    for (const name of ['../secret', 'absent', '']) {
      const { code, stderr } = await run('nbdinfo', [uri(name)], { anyCode: true });
      expect(code).toBe(1);
      expect(stderr).not.toContain(directory.path);
    }
  });
});

describeWith(['nbdsh', 'strace'], 'plugin-file under strace', () => {
  test('has on the disk what was flushed, and what was written with FUA, when the answer comes', async () => {
    await using directory = await temporaryDirectory();
    const path = directory.file('disk');
    await writeFile(path, Buffer.alloc(MiB));
    const trace = directory.file('trace');
    await using server = await serve(['plugin-file', path]);
    const strace = startChild('strace', [
      '-f',
      '-e',
      'trace=fdatasync',
      '-o',
      trace,
      '-p',
      String(server.pid),
    ]);
    await collect(strace.child.stderr).match(/attached/);
    const syncsAfter = async (script: string): Promise<number> => {
      await nbdsh(server.uri, script);
      return (await readFile(trace, 'utf8')).match(/fdatasync\(\d+|fdatasync resumed/g)?.length ?? 0;
    };
    try {
      expect(await syncsAfter('h.pwrite(b"a" * 512, 0)')).toBe(0);
      const flushed = await syncsAfter('h.pwrite(b"a" * 512, 0)\nh.flush()');
      expect(flushed).toBeGreaterThan(0);
      const forced = await syncsAfter('h.pwrite(b"b" * 512, 512, nbd.CMD_FLAG_FUA)');
      expect(forced).toBeGreaterThan(flushed);
    } finally {
      strace.child.kill();
      await strace.ended;
    }
  });
});

const isRoot = process.getuid?.() === 0;

describeWith(['nbdsh', 'mount', 'umount', 'losetup'], 'plugin-file as root', () => {
  test.skipIf(!isRoot)('a full file system gives ENOSPC, and the server goes on', async () => {
    await using directory = await temporaryDirectory();
    const mountPoint = directory.file('small');
    await mkdir(mountPoint);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'small', mountPoint]);
    try {
      const path = `${mountPoint}/disk`;
      await writeFile(path, '');
      await truncate(path, 16 * MiB);
      await using server = await serve(['plugin-file', path]);
      const script = `
import errno
def attempt(call):
    try:
        call()
        print("done")
    except nbd.Error as error:
        print(errno.errorcode[error.errnum])
attempt(lambda: h.pwrite(b"x" * (1 << 19), 0))
attempt(lambda: h.pwrite(b"y" * (1 << 20), 1 << 20))
attempt(lambda: h.pwrite(b"y" * 4096, 1 << 22) or h.pwrite(b"z" * (1 << 20), 1 << 23))
h.trim(16 << 20, 0)
attempt(lambda: h.pwrite(b"w" * 65536, 8 << 20))
print(h.pread(1, 8 << 20))
`;
      expect(await nbdsh(server.uri, script)).toBe("done\nENOSPC\nENOSPC\ndone\nbytearray(b'w')\n");
    } finally {
      await run('umount', [mountPoint]);
    }
  });

  test.skipIf(!isRoot)(
    'a block device has its size, is zeroed and trimmed, and locked',
    async () => {
      await using directory = await temporaryDirectory();
      const path = directory.file('disk');
      await writeFile(path, Buffer.alloc(8 * MiB, 1));
      const device = (await run('losetup', ['--find', '--show', path])).stdout.trim();
      try {
        await using server = await serve(['plugin-file', device]);
        expect(await nbdsh(server.uri, 'print(h.get_size())')).toBe(`${8 * MiB}\n`);
        const full = (await stat(path)).blocks;
        await nbdsh(
          server.uri,
          'h.zero(1 << 20, 0)\nh.zero(1 << 20, 1 << 20, nbd.CMD_FLAG_NO_HOLE)\nh.zero(1000, 2097153)',
        );
        expect(await nbdsh(server.uri, 'print(set(h.pread(2 << 20, 0)), set(h.pread(1002, 2097152)))')).toBe(
          '{0} {0, 1}\n',
        );
        await nbdsh(server.uri, 'h.trim(4 << 20, (4 << 20) - 1)\nh.flush()');
        expect((await stat(path)).blocks).toBeLessThanOrEqual(full - (4 * MiB) / 512);
        const second = await run(process.execPath, [NBD_SERVE, '--unix', '-', 'plugin-file', device], {
          anyCode: true,
        });
        expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('in use') as string });
        await randomOperations(server.uri, { seed: 5, count: 500, places: [0n, BigInt(4 * MiB)] });
      } finally {
        await run('losetup', ['--detach', device]);
      }
    },
    120_000,
  );
});

describeWith(['guestfish'], 'a file system in a file of 64 GiB', () => {
  test(
    'has the same bytes after the server was started again',
    async () => {
      await using directory = await temporaryDirectory();
      const content = randomBytes(20_000_000);
      await writeFile(directory.file('content'), content);
      const path = directory.file('disk');
      await writeFile(path, '');
      await truncate(path, 64 * 1024 * MiB);
      const commands = ['run', 'part-disk /dev/sda gpt', 'mkfs ext4 /dev/sda1', 'mount /dev/sda1 /'];
      {
        await using server = await serve(['plugin-file', path]);
        const upload = [`upload ${directory.file('content')} /file`, 'umount /', 'sync'];
        await guestfish(server.uri, [...commands, ...upload], { writable: true });
      }
      expect((await stat(path)).blocks * 512).toBeLessThan(512 * MiB);
      await using server = await serve(['plugin-file', path]);
      const read = await guestfish(server.uri, ['run', 'mount-ro /dev/sda1 /', 'checksum sha256 /file']);
      expect(read).toBe(`${sha256(content)}\n`);
    },
    2 * GUESTFISH_TIMEOUT,
  );
});

describeWith(['fio'], 'fio on plugin-file', () => {
  test.each(PLACES.flatMap((place) => ['randwrite', 'write'].map((pattern) => [pattern, place] as const)))(
    '%s of several jobs in %s is verified',
    async (pattern, place) => {
      await using directory = await temporaryDirectory(place);
      const path = directory.file('disk');
      await writeFile(path, '');
      await truncate(path, 1024 * MiB);
      await using server = await serve(['plugin-file', path]);
      await run('fio', verification(server.uri, pattern), { timeout: 120_000 });
    },
    130_000,
  );
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
