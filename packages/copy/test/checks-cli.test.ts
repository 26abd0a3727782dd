import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { checksum, readState, type State } from '../src/index.js';
import { writeState } from '../src/resume/state-file.js';
import { Model } from './model.js';

const NBD_COPY = fileURLToPath(new URL('../bin/nbd-copy.js', import.meta.url));

let directory: string;
let content: Buffer;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nbd-copy-'));
  content = Buffer.alloc(1_000_001);
  for (let at = 0; at < content.length; at += 5) content.writeUInt8((at * 7919) & 0xff, at);
  await writeFile(join(directory, 'a.raw'), content);
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

function nbdCopy(
  words: readonly string[],
  input?: Uint8Array,
): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [NBD_COPY, ...words],
      { cwd: directory, encoding: 'buffer' },
      (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr: stderr.toString() });
      },
    );
    // It may end without having read it.
    child.stdin!.on('error', () => undefined).end(input);
  });
}

const file = (name: string) => readFile(join(directory, name));

// Programs take their time to start on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

describe('nbd-copy --checksum', () => {
  test('prints that of what it has copied', async () => {
    const { stdout } = await nbdCopy(['--checksum', 'a.raw', 'b.raw']);
    expect(stdout.toString()).toBe(`${await checksum(new Model(content))}\n`);
    expect(content.equals(await file('b.raw'))).toBe(true);
  });

  test('=sha256 with null: prints that of the source, as sha256sum has it', async () => {
    const { stdout } = await nbdCopy(['--checksum=sha256', 'a.raw', 'null:']);
    expect(stdout.toString()).toBe(`sha256:${createHash('sha256').update(content).digest('hex')}\n`);
  });

  test('prints to standard error where the disk itself is on standard output', async () => {
    const { stdout, stderr } = await nbdCopy(['--checksum', 'a.raw', '-']);
    expect(content.equals(stdout)).toBe(true);
    expect(stderr).toBe(`${await checksum(new Model(content))}\n`);
  });

  test('of a stream is that of the file it became', async () => {
    // Its end is a hole of the file.
    content.fill(0, 600_000);
    const { stdout } = await nbdCopy(['--checksum', '-', 'b.raw'], content);
    expect(stdout.toString()).toBe(`${await checksum(new Model(content))}\n`);
  });

  test('is refused where nothing can be read again', async () => {
    expect(await nbdCopy(['--checksum', '-', '-'], content)).toMatchObject({ code: 2 });
    expect(await nbdCopy(['--checksum=md5', 'a.raw', 'b.raw'])).toMatchObject({ code: 2 });
  });
});

describe('nbd-copy --verify', () => {
  test('finds a good copy good', async () => {
    expect(await nbdCopy(['--verify', 'a.raw', 'b.raw'])).toMatchObject({ code: 0, stderr: '' });
    expect(content.equals(await file('b.raw'))).toBe(true);
  });

  test('finds a wrong one wrong', async () => {
    // A destination that reads as zeroes, whatever is written to it.
    const plugin = join(directory, 'liar.mjs');
    await writeFile(
      plugin,
      `import { definePlugin } from '${new URL('../../nbd-plugin/dist/index.js', import.meta.url).href}';
       export default definePlugin({
         name: 'liar',
         open: () => ({ size: 1048576n, read: (_, into) => void into.fill(0), write() {}, zero() {} }),
       });`,
    );
    const { code, stderr } = await nbdCopy(['--verify', 'a.raw', `plugin:${plugin}`]);
    expect(stderr).toMatch(
      /differs from a\.raw at offset 5: it has 0x00 there instead of 0xab;.* is not known to be good/,
    );
    expect(code).toBe(1);
  });

  test('is refused where one side can be read once only, before anything is written', async () => {
    expect(await nbdCopy(['--verify', '-', 'b.raw'], content)).toMatchObject({ code: 2 });
    expect(await readdir(directory)).toEqual(['a.raw']);
    expect(await nbdCopy(['--verify', 'a.raw', '-'])).toMatchObject({ code: 2, stdout: Buffer.of() });
  });
});

describe('nbd-copy --resume', () => {
  /** As an interrupted copy leaves it, with what comes after the state garbled. */
  async function interrupted(done = 524_288): Promise<State> {
    const partial = Buffer.alloc(content.length, 0xee);
    content.copy(partial, 0, 0, done);
    await writeFile(join(directory, 'b.raw.partial'), partial);
    const source = await stat(join(directory, 'a.raw'), { bigint: true });
    const destination = await stat(join(directory, 'b.raw.partial'), { bigint: true });
    const size = BigInt(content.length);
    const state = {
      source: { identity: `inode ${source.ino}, changed at ${source.mtimeNs}`, size },
      destination: { identity: `inode ${destination.ino}`, size },
      done: BigInt(done),
    };
    await writeState(join(directory, 'state'), state);
    return state;
  }
  const resume = (source = 'a.raw', destination = 'b.raw') =>
    nbdCopy(['--resume', 'state', '--verify', source, destination]);

  test('copies, and leaves no state behind', async () => {
    expect(await resume()).toMatchObject({ code: 0, stderr: '' });
    expect(content.equals(await file('b.raw'))).toBe(true);
    expect(await readdir(directory)).toEqual(['a.raw', 'b.raw']);
  });

  test('goes on where the state says', async () => {
    await interrupted();
    const { code, stderr } = await resume();
    expect(stderr).toBe('nbd-copy: state tells of an earlier copy: going on at offset 524288\n');
    expect(code).toBe(0);
    expect(content.equals(await file('b.raw'))).toBe(true);
    expect(await readdir(directory)).toEqual(['a.raw', 'b.raw']);
  });

  test.each([
    [
      'a source that has changed',
      async () => utimes(join(directory, 'a.raw'), 1, 1),
      /a\.raw is not the source/,
    ],
    [
      'a source that has grown',
      async () => appendFile(join(directory, 'a.raw'), 'x'),
      /it has 1000002 bytes/,
    ],
    [
      'content that differs where it was copied',
      async () => {
        const partial = await file('b.raw.partial');
        partial[400_000]! ^= 1;
        await writeFile(join(directory, 'b.raw.partial'), partial);
      },
      /differs from a\.raw at offset 400000/,
    ],
  ])('refuses %s, and leaves all as it is', async (_, change, message) => {
    const state = await interrupted();
    await change();
    const before = await file('b.raw.partial');
    const { code, stderr } = await resume();
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
    expect(before.equals(await file('b.raw.partial'))).toBe(true);
    expect(await readState(join(directory, 'state'))).toEqual(state);
  });

  test('does not touch another file that it is told to go on with', async () => {
    await interrupted();
    await writeFile(join(directory, 'precious.raw'), 'precious');
    const { code, stderr } = await resume('a.raw', 'precious.raw');
    expect(stderr).toContain('precious.raw is not the destination that state tells of');
    expect(code).toBe(1);
    expect((await file('precious.raw')).toString()).toBe('precious');
  });

  test('does not take any file for a state', async () => {
    await writeFile(join(directory, 'state'), 'precious');
    expect(await resume()).toMatchObject({ code: 1 });
    expect((await file('state')).toString()).toBe('precious');
    expect(await readdir(directory)).toEqual(['a.raw', 'state']);
  });

  test('is refused for streams', async () => {
    expect(await nbdCopy(['--resume', 'state', '-', 'b.raw'], content)).toMatchObject({ code: 2 });
    expect(await nbdCopy(['--resume', 'state', 'a.raw', 'null:'])).toMatchObject({ code: 2 });
    expect(await readdir(directory)).toEqual(['a.raw']);
  });
});
