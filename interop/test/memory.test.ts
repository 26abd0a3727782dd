import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  describeWith,
  guestfish,
  GUESTFISH_TIMEOUT,
  mountWithNbdfuse,
  randomOperations,
  run,
  serve,
  temporaryDirectory,
  verification,
} from '../harness/index.js';

const MiB = 2 ** 20;
const GIANT = 2n ** 63n - 1n;

/** Bytes of memory that a process has. */
function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}

/** Runs a script in nbdsh, with `h` connected. */
async function nbdsh(uri: string, script: string): Promise<string> {
  return (await run('nbdsh', ['-u', uri, '-c', script])).stdout;
}

describeWith(['nbdsh', 'nbdinfo'], 'plugin-memory', () => {
  test.each([1, 2])(
    'does what a model does, through thousands of operations (seed %d)',
    async (seed) => {
      await using server = await serve(['plugin-memory', String(GIANT)]);
      const places = [
        0n,
        2n ** 32n - 100_000n,
        2n ** 53n - 4096n * 10n,
        2n ** 62n + 12_345n,
        GIANT - 262_144n,
      ];
      await randomOperations(server.uri, { seed, count: 4000, places });
    },
    240_000,
  );

  test('a full disk gives ENOSPC, and goes on', async () => {
    await using server = await serve(['plugin-memory', '7E', 'max-memory=16M']);
    const script = `
import errno
block = b"x" * 65536
written = 0
try:
    while True:
        h.pwrite(block, written * 1099511627776)
        written += 1
except nbd.Error as error:
    print(written, errno.errorcode[error.errnum])
h.trim(65536, 0)
h.pwrite(block, 2 ** 60)
print(h.pread(1, 2 ** 60), h.pread(1, 255 * 1099511627776))
`;
    expect(await nbdsh(server.uri, script)).toMatch(/^256 ENOSPC\nbytearray\(b'x'\) bytearray\(b'x'\)\n$/);
  });

  test('memory is taken by what is written, and given back by what is trimmed', async () => {
    await using server = await serve(['plugin-memory', '64G']);
    const empty = residentBytes(server.pid);
    await nbdsh(server.uri, 'for i in range(512): h.pwrite(b"x" * 1048576, i * 67108864)');
    const full = residentBytes(server.pid);
    expect(full - empty).toBeGreaterThan(450 * MiB);
    expect(full - empty).toBeLessThan(700 * MiB);
    await nbdsh(server.uri, 'for i in range(16): h.trim(2 << 30, i * (2 << 30))');
    await expect.poll(() => full - residentBytes(server.pid), { timeout: 20_000 }).toBeGreaterThan(450 * MiB);
  });
});

describeWith(['trixie:nbdinfo'], 'plugin-memory of 2^63-1 bytes', () => {
  test('is one hole, from its first byte to its last', async () => {
    await using server = await serve(['plugin-memory', String(GIANT)]);
    expect((await run('trixie:nbdinfo', ['--size', server.uri])).stdout).toBe(`${GIANT}\n`);
    const { stdout } = await run('trixie:nbdinfo', ['--map', '--totals', server.uri]);
    expect(stdout.trim().split(/\s+/)).toEqual([String(GIANT), '100.0%', '3', 'hole,zero']);
  });
});

describeWith(['nbdfuse', 'fusermount3', 'sgdisk', 'nbdsh'], 'a GPT on plugin-memory of 7 EiB', () => {
  test('is written at both ends, and nothing is wrong with it', async () => {
    await using server = await serve(['plugin-memory', '7E']);
    {
      await using disk = await mountWithNbdfuse(server.uri);
      await run('sgdisk', ['--new=1:0:0', '--change-name=1:giant', disk.path]);
    }
    await using disk = await mountWithNbdfuse(server.uri);
    expect((await run('sgdisk', ['--verify', disk.path])).stdout).toContain('No problems found.');
    expect((await run('sgdisk', ['--print', disk.path])).stdout).toMatch(/^ +1 .* 7\.0 EiB .* giant$/m);
    const headers = 'print(h.pread(8, 512), h.pread(8, h.get_size() - 512))';
    expect(await nbdsh(server.uri, headers)).toBe("bytearray(b'EFI PART') bytearray(b'EFI PART')\n");
  });
});

describeWith(['guestfish', 'nbdinfo'], 'a file system on plugin-memory of 64 GiB', () => {
  test(
    'is made, filled and read by Linux, in little more memory than it has data',
    async () => {
      await using directory = await temporaryDirectory();
      const content = randomBytes(50_000_000);
      const sha256 = createHash('sha256').update(content).digest('hex');
      await writeFile(directory.file('content'), content);
      await using server = await serve(['plugin-memory', '64G']);
      const empty = residentBytes(server.pid);
      await guestfish(
        server.uri,
        [
          ...['run', 'part-disk /dev/sda gpt', 'mkfs ext4 /dev/sda1', 'mount /dev/sda1 /'],
          ...[`upload ${directory.file('content')} /file`, 'umount /', 'sync'],
        ],
        { writable: true },
      );
      const { stdout: map } = await run('nbdinfo', ['--map', '--totals', server.uri]);
      const data = Number(/^ *(\d+) .* data$/m.exec(map)![1]);
      expect(data).toBeGreaterThan(content.length);
      expect(data).toBeLessThan(content.length + 256 * MiB);
      expect(residentBytes(server.pid) - empty).toBeLessThan(data + 64 * MiB);
      const read = await guestfish(server.uri, ['run', 'mount-ro /dev/sda1 /', 'checksum sha256 /file']);
      expect(read).toBe(`${sha256}\n`);
    },
    2 * GUESTFISH_TIMEOUT,
  );
});

describeWith(['fio'], 'fio on plugin-memory', () => {
  test.each(['randwrite', 'write'])(
    '%s of several jobs is verified',
    async (pattern) => {
      await using server = await serve(['plugin-memory', '1G']);
      await run('fio', verification(server.uri, pattern), { timeout: 120_000 });
    },
    130_000,
  );
});
