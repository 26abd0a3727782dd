import { randomInt } from 'node:crypto';
import { access, readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import {
  collect,
  describeWith,
  NBD_COPY,
  nbdCopy,
  run,
  serveNbdkit,
  startChild,
  temporaryDirectory,
} from '../harness/index.js';

const MiB = 2 ** 20;

/** How often each is killed; `NBD_COPY_KILLS=100` for a long run. */
const KILLS = Number(process.env['NBD_COPY_KILLS'] ?? 4);

/** Slow enough to be killed on the way: 128 requests, 2 at a time, of at least 20 ms each. */
const SLOW = ['--filter=delay', 'pattern', '32M', 'delay-read=20ms'];
const FEW = ['--connections=1', '--requests=2', '--request-size=256K'];
/** Half a second of those 1.3 have gone when the first line of progress comes. */
const LATEST_MS = 900;

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** What nbdkit's pattern plugin has: each 8 bytes are their own offset. */
async function isPattern(path: string, size: number): Promise<boolean> {
  const bytes = await readFile(path);
  if (bytes.length !== size) return false;
  for (let at = 0; at < size; at += 8) if (bytes.readBigUInt64BE(at) !== BigInt(at)) return false;
  return true;
}

// CVE-2022-0485: nbdcopy once took no notice of reads that failed.
describeWith(['nbdkit'], 'a source that fails', () => {
  test('at random offsets never gives a file of the final name that is not whole', async () => {
    let failures = 0;
    for (let i = 0; i < 5; i++) {
      await using directory = await temporaryDirectory();
      await using server = await serveNbdkit(['--filter=error', 'pattern', '32M', 'error-pread-rate=3%']);
      const result = directory.file('disk');
      const { code, stderr } = await nbdCopy(['--request-size=256K', server.uri, result], {
        anyCode: true,
      });
      if (code === 0) {
        expect(await isPattern(result, 32 * MiB)).toBe(true);
        continue;
      }
      failures++;
      expect(code).toBe(1);
      expect(stderr).toMatch(/reading nbd\S+ failed at offset \d+: EIO.*; \S+disk\.partial is incomplete\n$/);
      expect(await exists(result)).toBe(false);
    }
    // Of 128 requests each: that all five runs are without an error happens once in 300 000 000.
    expect(failures).toBeGreaterThan(0);
  });
});

describe('a destination that fills up', () => {
  test('is an error with the offset: a disk in memory', async () => {
    const words = [
      'plugin:sparse-random?size=64M&seed=1&percent=100',
      'plugin:memory?size=64M&max-memory=4M',
    ];
    const { code, stderr } = await nbdCopy(words, { anyCode: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /writing to plugin:memory failed at offset \d+: ENOSPC.*; plugin:memory is incomplete\n$/,
    );
  });

  test('is an error with the offset: a device that is always full', async () => {
    const { code, stderr } = await nbdCopy(['plugin:memory?size=1M', '/dev/full'], { anyCode: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(/\/dev\/full failed at offset 0: .*ENOSPC.*; \/dev\/full is incomplete\n$/);
  });

  test('is an error: a pipe that nobody reads any more', async () => {
    const line = `'${process.execPath}' '${NBD_COPY}' plugin:memory?size=64M - | head -c 1; echo " \${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await run('bash', ['-c', line]);
    expect(stdout).toBe('\0 1\n');
    expect(stderr).toMatch(/failed at offset \d+: EPIPE.*; standard output is incomplete\n$/);
  });
});

describeWith(['nbdkit'], 'killed at random moments', () => {
  /** Copies to a file, lets `kill` do its worst, and checks what is left. */
  async function survive(kill: (pids: { source: number; copy: number }) => void): Promise<void> {
    for (let i = 0; i < KILLS; i++) {
      await using directory = await temporaryDirectory();
      await using server = await serveNbdkit(SLOW);
      const result = directory.file('disk');
      const { child, ended } = startChild(process.execPath, [
        NBD_COPY,
        '--progress=json',
        ...FEW,
        server.uri,
        result,
      ]);
      const errors = collect(child.stderr);
      await errors.match(/"done"/);
      const delay = randomInt(LATEST_MS);
      const timer = setTimeout(() => {
        kill({ source: server.pid, copy: child.pid! });
      }, delay);
      const { code } = await ended;
      clearTimeout(timer);
      const message = `killed after ${delay} ms, exit code ${code}: ${errors.text()}`;
      const isThere = await exists(result);
      if (code === 0) expect(isThere, message).toBe(true);
      // Killed at the very end, it may have done its work.
      if (isThere) expect(await isPattern(result, 32 * MiB), message).toBe(true);
    }
  }

  test('the source: no exit code 0 and no file without all of the content', async () => {
    await survive(({ source }) => process.kill(source, 'SIGKILL'));
  }, 300_000);

  test('nbd-copy itself: no file without all of the content', async () => {
    await survive(({ copy }) => {
      try {
        process.kill(copy, 'SIGKILL');
      } catch {
        // It was done before.
      }
    });
  }, 300_000);

  test('the destination: no exit code 0 without all of the content', async () => {
    for (let i = 0; i < KILLS; i++) {
      await using directory = await temporaryDirectory();
      const path = directory.file('disk');
      await writeFile(path, new Uint8Array(32 * MiB));
      await using source = await serveNbdkit(SLOW);
      await using server = await serveNbdkit(['file', path]);
      const { child, ended } = startChild(process.execPath, [
        NBD_COPY,
        '--progress=json',
        ...FEW,
        source.uri,
        server.uri,
      ]);
      const errors = collect(child.stderr);
      await errors.match(/"done"/);
      const delay = randomInt(LATEST_MS);
      const timer = setTimeout(() => process.kill(server.pid, 'SIGKILL'), delay);
      const { code } = await ended;
      clearTimeout(timer);
      const message = `killed after ${delay} ms, exit code ${code}: ${errors.text()}`;
      if (code === 0) expect(await isPattern(path, 32 * MiB), message).toBe(true);
      else expect(errors.text(), message).toContain('is incomplete');
      expect((await stat(path)).size).toBe(32 * MiB);
    }
  }, 300_000);
});
