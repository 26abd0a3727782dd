import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isNbdError } from '@nbd/protocol';
import data from '@nbd/plugin-data';
import {
  collect,
  describeWith,
  run,
  serve,
  serveNbdkit,
  startChild,
  temporaryDirectory,
  type TemporaryDirectory,
} from '../harness/index.js';
import { deliberateDifferences, sameEverywhere } from './data-strings.js';

const fixture = (name: string): string =>
  readFileSync(new URL(`../fixtures/${name}.data`, import.meta.url), 'utf8');

const NBD_DISK2DATA = fileURLToPath(
  new URL('../../packages/plugin-data/bin/nbd-disk2data.js', import.meta.url),
);

/** A disk's bytes in hexadecimal, or that there is none. */
type Outcome = string;

let directory: TemporaryDirectory;

beforeAll(async () => {
  directory = await temporaryDirectory();
  await writeFile(directory.file('file1'), 'abcdefghij');
  await writeFile(directory.file('large'), Buffer.alloc(10_000, 'large file '));
});

afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});

async function ofNbdkit(words: readonly string[]): Promise<Outcome> {
  const args = ['--unix', '-', 'data', ...words, '--run', 'nbdcopy "$uri" - && echo served >&2'];
  const { bytes, stderr } = await run('nbdkit', args, { cwd: directory.path, anyCode: true });
  return stderr.includes('served') ? bytes.toString('hex') : 'error';
}

async function ofOurs(words: readonly string[]): Promise<Outcome> {
  try {
    const plugin = await data.fromArguments(words, { cwd: directory.path });
    const device = await plugin.open({ readOnly: false, exportName: '' });
    const bytes = new Uint8Array(Number(device.size));
    await device.read(0n, bytes);
    await plugin.close?.();
    return Buffer.from(bytes).toString('hex');
  } catch (error) {
    if (isNbdError(error)) return 'error';
    throw error;
  }
}

describeWith(['nbdkit', 'nbdcopy'], 'the same words for nbdkit and for us', () => {
  test.each(sameEverywhere.map((words) => [words]))('%j', async (words) => {
    expect(await ofOurs(words)).toBe(await ofNbdkit(words));
  });

  test.each(deliberateDifferences)('differ on purpose: %j', async (words, nbdkit, ours) => {
    expect(await ofNbdkit(words)).toBe(nbdkit);
    expect(await ofOurs(words)).toBe(ours);
  });
});

describeWith(['nbdcopy', 'nbdinfo', 'nbdsh'], 'plugin-data, served', () => {
  test.each([
    ['0 1 2 3 @0x1fe 0x55 0xaa'],
    ['( 0x55 0xAA )*2048'],
    ['@1M <large*100 <file1 "end"'],
    ['$pattern*16', 'pattern=0x55 0xAA', 'size=1M'],
    ['base64=MTIz', 'size=1M'],
    ['raw=Hello, world!'],
  ])('nbdcopy reads %j', async (...words) => {
    await using server = await serve(['plugin-data', ...words], { cwd: directory.path });
    const { bytes } = await run('nbdcopy', [server.uri, '-']);
    expect(bytes.toString('hex')).toBe(await ofOurs(words));
  });

  test('connections see what one of them writes, and the next server does not', async () => {
    const words = ['plugin-data', '( 0x55 @4k )*1000000000'];
    const read = `
h = nbd.NBD(); h.connect_uri(uri)
print(bytes(h.pread(4, 4096 * 4096)))
`;
    await using server = await serve(words);
    const script = `
uri = ${JSON.stringify(server.uri)}
one = nbd.NBD(); one.connect_uri(uri)
one.pwrite(b"kept", 4096 * 4096, nbd.CMD_FLAG_FUA); one.zero(4096, 0); one.trim(4096, 8192); one.flush()
${read}`;
    expect((await run('nbdsh', ['-c', script])).stdout).toBe("b'kept'\n");
    await using next = await serve(words);
    const again = `uri = ${JSON.stringify(next.uri)}\n${read}`;
    expect((await run('nbdsh', ['-c', again])).stdout).toBe("b'U\\x00\\x00\\x00'\n");
  });

  test('is read-only with -r', async () => {
    await using server = await serve(['-r', 'plugin-data', '1 2 3']);
    expect((await run('nbdinfo', ['--is', 'read-only', server.uri])).code).toBe(0);
  });

  test('an error of the string is wrong usage, with the place', async () => {
    await expect(serve(['plugin-data', '1 2 x'])).rejects.toThrow(
      /plugin-data: line 1: expected .*\n {2}1 2 x\n {6}\^/,
    );
  });
});

describeWith(['nbdkit', 'nbdcopy', 'sgdisk', 'mkfs.fat'], 'nbd-disk2data', () => {
  test.each([
    ['a GPT', 'sgdisk', ['-n', '1']],
    ['a FAT file system', 'mkfs.fat', []],
  ])('prints %s as a string that nbdkit and we serve', async (_, program, args) => {
    const disk = directory.file(`${program}.img`);
    await writeFile(disk, '');
    await truncate(disk, 8 << 20);
    await run(program, [...args, disk]);
    const { stdout } = await run(process.execPath, [NBD_DISK2DATA, disk]);
    const expected = (await readFile(disk)).toString('hex');
    expect((await ofOurs([stdout])) === expected).toBe(true);
    expect((await ofNbdkit([stdout])) === expected).toBe(true);
  });
});

describeWith(['nbdkit'], 'nbd-disk2data of a URI', () => {
  test('prints what our server serves', async () => {
    await using server = await serve(['plugin-data', '@1M "far away" ( @1M 0x55 )*100', 'size=7E']);
    const { stdout } = await run(process.execPath, [NBD_DISK2DATA, server.uri]);
    expect(stdout.split('\n')).toEqual([
      '@0x100000 "far away"',
      '@0x200008 ( 0x55 @0x100001 )*100',
      '@0x7000000000000000',
      '',
    ]);
  });

  test('prints what nbdkit serves', async () => {
    await using server = await serveNbdkit(['data', '( 0x55 0xAA )*2048 @1048576']);
    const { stdout } = await run(process.execPath, [NBD_DISK2DATA, server.uri]);
    expect(stdout).toBe('( 0x55 0xaa )*2048\n@0x100000\n');
  });

  test('says where nobody answers', async () => {
    const uri = `nbd+unix:///?socket=${directory.file('nobody')}`;
    const { code, stderr } = await run(process.execPath, [NBD_DISK2DATA, uri], { anyCode: true });
    expect(code).toBe(1);
    expect(stderr.startsWith(`nbd-disk2data: ${uri}: `)).toBe(true);
  });
});

describeWith(['trixie:nbdinfo', 'nbdinfo'], 'a map of holes', () => {
  test('ends at once for 7 EiB', async () => {
    await using server = await serve(['plugin-data', fixture('gpt-7e'), 'size=7E']);
    expect((await run('nbdinfo', ['--size', server.uri])).stdout).toBe('8070450532247928832\n');
    const { stdout } = await run('trixie:nbdinfo', ['--map', '--totals', server.uri], { timeout: 5000 });
    expect(stdout.split('\n').map((line) => line.trim().split(/\s+/))).toEqual([
      ['336', '0.0%', '0', 'data'],
      ['8070450532247928496', '100.0%', '3', 'hole,zero'],
      [''],
    ]);
  });

  test.each(['nbdinfo', 'trixie:nbdinfo'])('is exact inside repeats, for %s', async (nbdinfo) => {
    await using server = await serve(['plugin-data', '( @1M 0x55 )*1000 0*1M']);
    const { stdout } = await run(nbdinfo, ['--map', '--totals', server.uri]);
    expect(stdout).toMatch(/^ +1000 +0\.0% +0 +data\n/);
    expect(stdout).toMatch(/^ *1048576000 +99\.9% +3 +hole,zero\n/m);
    expect(stdout).toMatch(/^ *1048576 +0\.1% +2 +zero\n/m);
  });
});

describeWith(['nbdfuse', 'sgdisk', 'fusermount3'], 'a GPT of 7 EiB', () => {
  test('is one partition, and nothing is wrong with it', async () => {
    await using server = await serve(['plugin-data', fixture('gpt-7e'), 'size=7E']);
    const mountPoint = directory.file('mnt');
    await mkdir(mountPoint);
    const pidFile = directory.file('nbdfuse.pid');
    const { ended } = startChild('nbdfuse', ['--pidfile', pidFile, mountPoint, server.uri]);
    try {
      await expect.poll(() => existsSync(pidFile), { timeout: 20_000 }).toBe(true);
      const { stdout } = await run('sgdisk', ['-v', `${mountPoint}/nbd`]);
      expect(stdout).toContain('No problems found.');
      const table = (await run('sgdisk', ['-p', `${mountPoint}/nbd`])).stdout.split(/^Number.*\n/m)[1]!;
      expect(table.trim().split('\n')).toEqual([
        expect.stringMatching(/^1 +128 +15762598695796608 +7\.0 EiB /),
      ]);
    } finally {
      await run('fusermount3', ['-u', mountPoint]);
      await ended;
    }
  });
});

describeWith(['qemu-system-i386'], 'a boot sector', () => {
  test('boots and says hello, world', async () => {
    await using server = await serve(['plugin-data', fixture('hello-world')]);
    const { child, ended } = startChild('qemu-system-i386', [
      ...['-accel', 'tcg', '-display', 'none', '-vga', 'std', '-m', '32', '-boot', 'a', '-qmp', 'stdio'],
      ...['-drive', `file=${server.uri},format=raw,if=floppy`],
    ]);
    const answers = collect(child.stdout);
    let commands = 0;
    const command = async (execute: string, args?: Record<string, unknown>): Promise<void> => {
      const id = ++commands;
      child.stdin.write(JSON.stringify({ execute, arguments: args, id }) + '\n');
      await answers.match(new RegExp(`"return".*"id": ${id}\\D`));
    };
    const file = directory.file('screen');
    /** Every second byte of the video memory is a character of the text screen. */
    const screen = async (): Promise<string> => {
      await command('pmemsave', { val: 0xb8000, size: 4000, filename: file });
      return (await readFile(file, 'latin1')).replace(/(.)./gs, '$1');
    };
    try {
      await command('qmp_capabilities');
      await expect.poll(screen, { timeout: 50_000, interval: 200 }).toContain('hello, world');
    } finally {
      await command('quit');
      await ended;
    }
  });
});
