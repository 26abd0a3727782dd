import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { describeWith, NBD_SERVE, run, serve, serveNbdkit } from '../harness/index.js';

/** Where the disk has data, and every byte of it. */
async function mapAndHash(uri: string) {
  const { stdout: map } = await run('nbdinfo', ['--map', uri]);
  const { stdout: sha256 } = await run('sh', ['-c', 'nbdcopy "$0" - | sha256sum', uri]);
  return { map, sha256 };
}

describeWith(['nbdkit', 'nbdinfo', 'nbdcopy'], 'plugin-sparse-random beside nbdkit', () => {
  test.each([
    '0',
    '1 seed=11 percent=100',
    '4097 seed=4294967295 percent=100 random-content=true',
    '1000001 seed=0 percent=30 runlength=10000 random-content=true',
    '300M seed=0',
    '100M seed=4294967295 percent=10 runlength=1000000',
    '40M seed=1 percent=50 runlength=65536',
    '40M seed=1 percent=50 runlength=65536 random-content=true',
    '40M seed=7 percent=90 runlength=4096',
    '40M seed=7 percent=60 runlength=5000',
    '40M seed=7 percent=20 runlength=1',
    '50M seed=2 percent=99.9 runlength=123456 random-content=true',
    '50M seed=3 percent=0.1 runlength=20000',
    '50M seed=3 percent=0',
  ])('the same disk: %s', async (words) => {
    const seeded = words === '0' ? ['0', 'seed=1'] : words.split(' ');
    await using theirs = await serveNbdkit(['sparse-random', ...seeded]);
    await using ours = await serve(['plugin-sparse-random', ...seeded]);
    expect(await mapAndHash(ours.uri)).toEqual(await mapAndHash(theirs.uri));
  });

  test('the same map of a whole tebibyte', async () => {
    await using theirs = await serveNbdkit(['sparse-random', '1T', 'seed=1']);
    await using ours = await serve(['plugin-sparse-random', '1T', 'seed=1']);
    const [expected, map] = [theirs, ours].map(({ uri }) => run('nbdinfo', ['--map', uri]));
    // Not toBe: the difference would fill the screen.
    expect((await map)!.stdout === (await expected)!.stdout).toBe(true);
  });
});

describeWith(['trixie:nbdinfo'], 'plugin-sparse-random with extended headers', () => {
  test('a query over terabytes has the same answers as many short ones', async () => {
    await using server = await serve(['plugin-sparse-random', '1T', 'seed=2', 'runlength=256M']);
    const maps = ['nbdinfo', 'trixie:nbdinfo'].map((nbdinfo) => run(nbdinfo, ['--map', server.uri]));
    const [compact, extended] = await Promise.all(maps);
    const rows = (map: string) => map.replaceAll(/ +/g, ' ');
    expect(rows(extended!.stdout) === rows(compact!.stdout)).toBe(true);
  });
});

describeWith(['nbdsh'], 'plugin-sparse-random of 7 EiB', () => {
  test('is read anywhere in little memory', async () => {
    await using server = await serve(['plugin-sparse-random', '7E', 'seed=1', 'random-content=false']);
    const script = `
import random
size = h.get_size()
assert size == 7 << 60, size
for i in range(2000):
    offset = random.randrange(size // 65536) * 65536
    h.pread(65536, offset)
h.pread(4096, size - 4096)`;
    await run('nbdsh', ['-u', server.uri, '-c', script]);
    const status = await readFile(`/proc/${server.pid}/status`, 'utf8');
    const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status)!;
    expect(Number(kibibytes)).toBeLessThan(100 * 1024);
  });
});

describeWith(['nbdcopy', 'qemu-img'], 'copies of plugin-sparse-random onto itself', () => {
  test.each(['nbdcopy "$uri" "$uri"', 'qemu-img convert -n -f raw -O raw "$uri" "$uri"'])(
    '%s',
    async (command) => {
      for (const words of ['1T seed=1 percent=0.3', '4G seed=2 percent=20 random-content=true']) {
        const args = ['-U', '-', 'plugin-sparse-random', ...words.split(' '), '--run', command];
        const { stderr } = await run(process.execPath, [NBD_SERVE, ...args], { timeout: 170_000 });
        expect(stderr).not.toContain('should be');
      }
    },
    180_000,
  );
});
