import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { connect, info, listExports, spawnServer } from '../src/index.js';

const SERVER = fileURLToPath(new URL('programs/zeroes-server.js', import.meta.url));
const OWNER = fileURLToPath(new URL('programs/owner.js', import.meta.url));
const server = (...words: string[]) => [process.execPath, SERVER, ...words];

describe('by socket activation', () => {
  test('a server is started, serves several connections, and ends with the disk', async () => {
    const captive = await spawnServer(server());
    const disk = await connect(captive, { connections: 3 });
    expect(disk.connections).toBe(3);
    expect(await disk.read(100n, 10)).toEqual(new Uint8Array(10));
    await disk.close();
    expect(isRunning(captive.pid)).toBe(false);
  });

  test('it can be asked without being used, and ends with its scope', async () => {
    let pid;
    {
      await using captive = await spawnServer(server());
      ({ pid } = captive);
      expect(await info(captive)).toMatchObject({ size: 1n << 20n });
      expect(await listExports(captive)).toEqual([{ name: '' }]);
    }
    expect(isRunning(pid)).toBe(false);
  });

  test('its words are in the error when it does not serve', async () => {
    const captive = await spawnServer(server('fail'));
    await expect(connect(captive)).rejects.toThrow(/said: there is no disk today$/);
    expect(captive.stderr()).toBe('there is no disk today\n');
    expect(isRunning(captive.pid)).toBe(false);
  });

  test('it ends when connecting fails', async () => {
    const captive = await spawnServer(server());
    await expect(connect(captive, { exportName: 'no such export' })).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(isRunning(captive.pid)).toBe(false);
  });

  test('a program that is not there is an error', async () => {
    await expect(spawnServer(['/no/such/program']).then(connect)).rejects.toThrow(/program/);
    await expect(spawnServer([])).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test('its words are no options and no shell commands', async () => {
    const captive = await spawnServer(server('say', '$(echo hello); `id` "\'\\', '--version'));
    await using disk = await connect(captive);
    await disk.read(0n, 1);
    expect(JSON.parse(captive.stderr())).toEqual(['say', '$(echo hello); `id` "\'\\', '--version']);
  });

  test('one that does not obey is ended all the same', async () => {
    const captive = await spawnServer(server('stubborn'));
    const disk = await connect(captive);
    await disk.close();
    expect(isRunning(captive.pid)).toBe(false);
  }, 15_000);

  test('nothing is left of it', async () => {
    const before = process.env['TMPDIR'];
    const directory = mkdtempSync(join(tmpdir(), 'nbd-client-'));
    process.env['TMPDIR'] = directory;
    try {
      const disk = await connect(await spawnServer(server()));
      expect(readdirSync(directory)).toHaveLength(1);
      await disk.close();
      expect(readdirSync(directory)).toEqual([]);
      await expect(connect(await spawnServer(server('fail')))).rejects.toThrow();
      expect(readdirSync(directory)).toEqual([]);
    } finally {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
      rmSync(directory, { recursive: true });
    }
  });
});

describe('over its standard input and output', () => {
  test('a server is started, serves one connection, and ends with the disk', async () => {
    const captive = await spawnServer(server('stdio'), { mode: 'stdio' });
    const disk = await connect(captive, { connections: 3 });
    expect(disk.connections).toBe(1);
    expect(await disk.read(100n, 300_000)).toHaveLength(300_000);
    await disk.close();
    expect(isRunning(captive.pid)).toBe(false);
  });

  test('its words are in the error when it does not serve', async () => {
    const captive = await spawnServer(server('fail'), { mode: 'stdio' });
    await expect(connect(captive)).rejects.toThrow(/said: there is no disk today/);
  });
});

describe('the server ends with us', () => {
  test.each<[string, string]>([
    ['when we exit', 'exit'],
    ['when we fail', 'throw'],
    ...(process.platform === 'linux' ? [['when we are killed', 'kill'] as [string, string]] : []),
  ])('%s', async (_name, how) => {
    const owner = spawn(process.execPath, [OWNER, how], { stdio: ['pipe', 'pipe', 'ignore'] });
    const [text] = (await once(owner.stdout, 'data')) as [Buffer];
    const pid = Number(text.toString());
    expect(isRunning(pid)).toBe(true);
    if (how === 'kill') owner.kill('SIGKILL');
    else owner.stdin.end('go');
    await once(owner, 'exit');
    while (isRunning(pid)) await new Promise(setImmediate);
  });
});

/** Whether there is such a process, that has not merely not been waited for yet. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
