import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  describeWith,
  guestfish,
  GUESTFISH_TIMEOUT,
  NBD_SERVE,
  randomOperations,
  run,
  serve,
  serveNbdkit,
  temporaryDirectory,
  type TemporaryDirectory,
} from '../harness/index.js';

const MiB = 2 ** 20;

/** Runs `nbd-serve` to its end. */
function nbdServe(...args: readonly string[]) {
  return run(process.execPath, [NBD_SERVE, ...args], { anyCode: true });
}

/** Runs a script in nbdsh, with `h` connected. */
async function nbdsh(uri: string, script: string): Promise<string> {
  return (await run('nbdsh', ['-u', uri, '-c', script])).stdout;
}

/** A file of random bytes. */
async function randomFile(directory: TemporaryDirectory, length: number): Promise<string> {
  const file = directory.file('disk.img');
  await writeFile(file, randomBytes(length));
  return file;
}

async function digestOf(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

describeWith(['qemu-io', 'nbdsh', 'nbdcopy'], 'filter-cow', () => {
  test('what qemu-io writes is there for others, and the file is as it was', async () => {
    await using directory = await temporaryDirectory();
    const file = await randomFile(directory, 8 * MiB);
    const before = await digestOf(file);
    await using server = await serve(['--filter=cow', 'plugin-file', file]);
    const commands = ['write -P 0xaa 1000 5000', 'write -z 2M 1M', 'discard 4M 1M', 'flush'];
    await run('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), server.uri]);
    const checks = ['read -P 0xaa 1000 5000', 'read -P 0 2M 1M', 'read -P 0 4M 1M'];
    const { stdout } = await run('qemu-io', [
      ...['-f', 'raw'],
      ...checks.flatMap((command) => ['-c', command]),
      server.uri,
    ]);
    expect(stdout).not.toContain('failed');
    expect(await digestOf(file)).toBe(before);

    const expected = await readFile(file);
    expected
      .fill(0xaa, 1000, 6000)
      .fill(0, 2 * MiB, 3 * MiB)
      .fill(0, 4 * MiB, 5 * MiB);
    const { bytes } = await run('nbdcopy', [server.uri, '-']);
    expect(bytes.equals(expected)).toBe(true);
  });

  test('a file that may only be read can be written to, and another program may read it meanwhile', async () => {
    await using directory = await temporaryDirectory();
    const file = await randomFile(directory, MiB);
    await using server = await serve(['--filter=cow', 'plugin-file', file]);
    await using other = await serve(['--readonly', 'plugin-file', file]);
    expect(await nbdsh(server.uri, 'h.pwrite(b"new", 0); print(h.pread(3, 0))')).toBe("bytearray(b'new')\n");
    expect(await nbdsh(other.uri, 'print(h.pread(3, 0) == b"new")')).toBe('False\n');
  });

  test('does what a model does, through thousands of operations', async () => {
    await using directory = await temporaryDirectory();
    const file = directory.file('disk.img');
    await writeFile(file, '');
    await run('truncate', ['--size', '64M', file]);
    await using server = await serve(['--filter=cow', 'plugin-file', file]);
    await randomOperations(server.uri, { seed: 1, count: 2000, places: [0n, 5_000_000n, 66_846_720n] });
    expect((await readFile(file)).every((byte) => byte === 0)).toBe(true);
  }, 240_000);
});

describeWith(['guestfish'], 'a real Linux', () => {
  test(
    'makes a file system on filter-cow, and partitions of sectors of 4096',
    async () => {
      await using directory = await temporaryDirectory();
      const file = directory.file('disk.img');
      await writeFile(file, '');
      await run('truncate', ['--size', '256M', file]);
      const before = await digestOf(file);
      await using server = await serve(['--filter=cow', 'plugin-file', file]);
      const commands = [
        ...[
          'run',
          'part-init /dev/sda gpt',
          'part-add /dev/sda p 256 20000',
          'part-add /dev/sda p 20480 -256',
        ],
        ...['mkfs ext4 /dev/sda1', 'mkfs ext4 /dev/sda2', 'mount /dev/sda1 /', 'write /file "from Linux\\n"'],
        ...['cat /file', 'blockdev-getss /dev/sda', 'blockdev-getsize64 /dev/sda2'],
      ];
      const output = await guestfish(server.uri, commands, { writable: true, sectorSize: 4096 });
      expect(output).toMatch(/from Linux\s+4096\s+\d+/);
      expect(await digestOf(file)).toBe(before);

      const copy = directory.file('copy.img');
      await run('nbdcopy', [server.uri, copy]);
      await using second = await serve(['--filter=partition,2', 'plugin-file', copy]);
      const size = /(\d+)\s*$/.exec(output)![1]!;
      expect((await run('nbdinfo', ['--size', second.uri])).stdout).toBe(`${size}\n`);
      // The magic of ext4.
      expect(await nbdsh(second.uri, 'print(h.pread(2, 1080).hex())')).toBe('53ef\n');
    },
    GUESTFISH_TIMEOUT,
  );
});

/** Writes the number of each partition at its start. */
async function mark(file: string, starts: Readonly<Record<number, number>>): Promise<void> {
  const handle = await open(file, 'r+');
  for (const [number, sector] of Object.entries(starts)) {
    await handle.write(`partition ${number}`, sector * 512);
  }
  await handle.close();
}

describeWith(
  ['sfdisk', 'nbdsh', 'nbdkit', 'nbdcopy', 'qemu-img'],
  'filter-partition, on a disk of sfdisk',
  () => {
    const SCRIPT = [
      'label: dos',
      '1: start=2048, size=10M, type=83',
      '2: start=24576, size=12M, type=5',
      '5: start=26624, size=2M, type=83',
      '6: size=3M, type=83',
      '7: size=4M, type=83',
    ].join('\n');

    test('primary and logical partitions are where sfdisk says', async () => {
      await using directory = await temporaryDirectory();
      const file = await randomFile(directory, 32 * MiB);
      await run('sfdisk', ['--quiet', '--wipe=always', file], { input: SCRIPT });
      const { partitiontable } = JSON.parse((await run('sfdisk', ['--json', file])).stdout) as {
        partitiontable: { partitions: { node: string; start: number; size: number; type: string }[] };
      };
      const partitions = partitiontable.partitions
        .filter(({ type }) => type !== '5')
        .map(({ node, start, size }) => ({ number: Number(node.slice(file.length)), start, size }));
      expect(partitions.map(({ number }) => number)).toEqual([1, 5, 6, 7]);
      await mark(file, Object.fromEntries(partitions.map(({ number, start }) => [number, start])));
      for (const { number, size } of partitions) {
        await using ours = await serve([`--filter=partition,${number}`, 'plugin-file', file]);
        const script = 'print(h.get_size(), h.pread(11, 0).decode())';
        expect(await nbdsh(ours.uri, script)).toBe(`${size * 512} partition ${number}\n`);
        await using theirs = await serveNbdkit(['--filter=partition', 'file', file, `partition=${number}`]);
        const [mine, other] = [
          await run('nbdcopy', [ours.uri, '-']),
          await run('nbdcopy', [theirs.uri, '-']),
        ];
        expect(mine.bytes.equals(other.bytes)).toBe(true);
      }
    }, 60_000);

    test('what is written to a partition lands in it', async () => {
      await using directory = await temporaryDirectory();
      const file = await randomFile(directory, 32 * MiB);
      await run('sfdisk', ['--quiet', '--wipe=always', file], { input: SCRIPT });
      const before = await readFile(file);
      await using server = await serve(['--filter=partition,5', 'plugin-file', file]);
      await nbdsh(server.uri, 'h.pwrite(b"x" * 4096, h.get_size() - 4096); h.flush()');
      before.fill('x', 26_624 * 512 + 2 * MiB - 4096, 26_624 * 512 + 2 * MiB);
      expect((await readFile(file)).equals(before)).toBe(true);
    });

    test('one that is not there is refused with those that are', async () => {
      await using directory = await temporaryDirectory();
      const file = await randomFile(directory, 32 * MiB);
      await run('sfdisk', ['--quiet', '--wipe=always', file], { input: SCRIPT });
      await using server = await serve(['--filter=partition,9', 'plugin-file', file]);
      const { code, stderr } = await run('qemu-img', ['info', server.uri], { anyCode: true });
      expect(code).not.toBe(0);
      expect(stderr).toContain(
        'there is no partition 9: the disk has an MBR with the partitions 1 (10 MiB), 5 (2 MiB)',
      );
    });
  },
);

describeWith(['sgdisk', 'nbdsh'], 'filter-partition, on a disk of sgdisk', () => {
  test.each(['', 'damaged'])(
    'partitions of a %s GPT are where they were made',
    async (damaged) => {
      await using directory = await temporaryDirectory();
      const file = await randomFile(directory, 32 * MiB);
      const made = ['--new=1:2048:+5M', '--new=4:0:+5M', '--new=128:0:0'];
      await run('sgdisk', ['--zap-all', file], { anyCode: true });
      await run('sgdisk', ['--clear', ...made, file]);
      const infos = await Promise.all(
        [1, 4, 128].map(async (number) => {
          const { stdout } = await run('sgdisk', [`--info=${number}`, file]);
          const sectors = (what: string): number =>
            Number(new RegExp(`^${what}: (\\d+)`, 'm').exec(stdout)![1]);
          return { number, start: sectors('First sector'), size: sectors('Partition size') };
        }),
      );
      await mark(file, Object.fromEntries(infos.map(({ number, start }) => [number, start])));
      if (damaged) {
        const handle = await open(file, 'r+');
        await handle.write(randomBytes(4096), 0, 4096, 512);
        await handle.close();
      }
      for (const { number, size } of damaged ? infos.slice(1, 2) : infos) {
        await using server = await serve([`--filter=partition,${number}`, 'plugin-file', file]);
        const label = `partition ${number}`;
        const script = `print(h.get_size(), h.pread(${label.length}, 0).decode())`;
        expect(await nbdsh(server.uri, script)).toBe(`${size * 512} ${label}\n`);
        if (damaged) await server.said(/filter-partition: .* the backup at the end of the disk is used/);
      }
    },
    60_000,
  );
});

describeWith(['nbdcopy', 'nbdsh'], 'filters on requests', () => {
  test('nbdcopy fails where filter-error does, and succeeds with filter-retry before that', async () => {
    await using directory = await temporaryDirectory();
    const file = await randomFile(directory, 8 * MiB);
    const failing = ['--filter=error,read=10%,seed=3', '--readonly', 'plugin-file', file];
    const copy = ['--request-size=65536', '--synchronous'];
    await using broken = await serve(failing);
    const failed = await run('nbdcopy', [...copy, broken.uri, 'null:'], { anyCode: true });
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toContain('Input/output error');

    // The first filter is the outermost.
    await using mended = await serve(['--filter=retry,delay=1ms', ...failing]);
    const { bytes } = await run('nbdcopy', [...copy, mended.uri, '-']);
    expect(bytes.equals(await readFile(file))).toBe(true);
    await using wrong = await serve([failing[0]!, '--filter=retry,delay=1ms', ...failing.slice(1)]);
    expect((await run('nbdcopy', [...copy, wrong.uri, 'null:'], { anyCode: true })).code).not.toBe(0);
  });

  test('filter-error gives the error that was asked for', async () => {
    await using server = await serve(['--filter=error,write=100%,error=ENOSPC', 'plugin-memory', '1M']);
    const script = `
import errno
try:
    h.pwrite(b"x", 0)
except nbd.Error as error:
    print(errno.errorcode[error.errnum], h.pread(1, 0))
`;
    expect(await nbdsh(server.uri, script)).toBe("ENOSPC bytearray(b'\\x00')\n");
  });

  test('filter-delay makes each request wait, all side by side', async () => {
    await using server = await serve(['--filter=delay,read=300ms', 'plugin-memory', '1M']);
    const script = `
import time
start = time.monotonic()
cookies = [h.aio_pread(nbd.Buffer(512), n * 512) for n in range(64)]
while h.aio_in_flight() > 0:
    h.poll(-1)
print(0.3 <= time.monotonic() - start < 64 * 0.3)
`;
    expect(await nbdsh(server.uri, script)).toBe('True\n');
  });

  test('filter-log and filter-stats tell what a client did', async () => {
    await using directory = await temporaryDirectory();
    const file = directory.file('a, b.log');
    const server = await serve([
      '--filter=stats',
      `--filter=log,file=${file.replaceAll(',', ',,')}`,
      'plugin-memory',
      '1M',
    ]);
    await nbdsh(server.uri, 'h.pwrite(b"x" * 4096, 512); h.pread(512, 0); h.zero(1024, 0); h.flush()');
    await server.stop();
    const lines = (await readFile(file, 'utf8'))
      .replaceAll(/^\S+ |[\d.]+ ms/gm, '')
      .trim()
      .split('\n');
    expect(lines).toEqual([
      'connection 1: open "", 1048576 bytes',
      'connection 1: write 4096 bytes at 512: ',
      'connection 1: read 512 bytes at 0: ',
      'connection 1: zero 1024 bytes at 0: ',
      'connection 1: flush: ',
      'connection 1: close',
    ]);
    expect(server.stderr()).toMatch(/^filter-stats: write: 1 request, 4 KiB \(.*\), .* ms on average/m);
  });

  test.each(['cache,1M', 'readahead,128K'])('filter-%s gives what is on the disk', async (filter) => {
    await using plain = await serve(['plugin-sparse-random', '16M', 'seed=1']);
    await using filtered = await serve([`--filter=${filter}`, 'plugin-sparse-random', '16M', 'seed=1']);
    const [expected, actual] = [
      await run('nbdcopy', [plain.uri, '-']),
      await run('nbdcopy', [filtered.uri, '-']),
    ];
    expect(actual.bytes.equals(expected.bytes)).toBe(true);
  });

  test('filter-cache does what a model does, through thousands of operations', async () => {
    await using directory = await temporaryDirectory();
    const file = directory.file('disk.img');
    await writeFile(file, '');
    await run('truncate', ['--size', '64M', file]);
    await using server = await serve(['--filter=cache,1M', 'plugin-file', file]);
    await randomOperations(server.uri, { seed: 2, count: 2000, places: [0n, 5_000_000n, 66_846_720n] });
  }, 240_000);

  test('filter-truncate and filter-offset change the size, and what is added is a hole', async () => {
    await using server = await serve([
      ...['--filter=truncate,round-up=1M', '--filter=offset,512,range=100K', 'plugin-data', '0x55*1048576'],
    ]);
    expect((await run('nbdinfo', ['--size', server.uri])).stdout).toBe(`${MiB}\n`);
    expect((await run('nbdinfo', ['--map', server.uri])).stdout).toMatch(
      /^ +0 +102400 +0 +data\n +102400 +946176 +3 +hole,zero\n$/,
    );
  });

  test('filter-noextents hides holes', async () => {
    await using server = await serve(['--filter=noextents', 'plugin-memory', '1M']);
    expect((await run('nbdinfo', ['--map', server.uri])).stdout).toMatch(/^ +0 +1048576 +0 +data\n$/);
  });

  test('a filter of your own is a file', async () => {
    await using directory = await temporaryDirectory();
    const file = directory.file('invert.mjs');
    await writeFile(
      file,
      `import { defineFilter, liftDevice } from ${JSON.stringify(import.meta.resolve('@nbd/plugin'))};
       export default defineFilter({
         name: 'invert',
         description: 'Every bit the other way round',
         setup: () => liftDevice(({ size, read }) => ({
           size,
           async read(offset, into) {
             await read(offset, into);
             for (let i = 0; i < into.length; i++) into[i] ^= 0xff;
           },
         })),
       });`,
    );
    await using server = await serve([`--filter=${file}`, 'plugin-data', '0x0f', 'size=2']);
    expect(await nbdsh(server.uri, 'print(h.pread(2, 0).hex())')).toBe('f0ff\n');
  });
});

test('nbd-serve tells what a filter takes, and what is wrong with its words', async () => {
  const help = await nbdServe('--filter=delay', '--help');
  expect(help).toMatchObject({ code: 0, stderr: '' });
  expect(help.stdout).toMatch(
    /^filter-delay: Waits before requests\n\nUsage: nbd-serve .*--filter=delay\[,TIME\]/,
  );
  expect(await nbdServe('--filter=delay,read=soon', 'plugin-memory', '1M')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^filter-delay: read=soon is not a time/) as string,
  });
  expect(await nbdServe('--filter=dealy', 'plugin-memory', '1M')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Did you mean delay?') as string,
  });
  expect(await nbdServe('--filter', '', 'plugin-memory', '1M')).toMatchObject({ code: 2 });
});
