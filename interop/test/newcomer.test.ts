import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  collect,
  describeWith,
  run,
  startChild,
  startServer,
  temporaryDirectory,
  userEnvironment,
  type TemporaryDirectory,
} from '../harness/index.js';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/** The first start installs and builds: seconds, or a minute where nothing is cached and two cores do all. */
const FIRST_START = 240_000;

/** Starts `npm start` in the clone, and waits until it serves. */
function npmStart(clone: string, args: readonly string[]) {
  return startServer('npm', ({ pidFile }) => ['start', '--', ...args, '--pidfile', pidFile], {
    cwd: clone,
    env: userEnvironment,
    startLimit: FIRST_START,
  });
}

describeWith(['git', 'npm', 'nbdinfo', 'nbdcopy', 'sfdisk', 'mtype'], 'a fresh clone', () => {
  let directory: TemporaryDirectory;
  let clone: string;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    clone = directory.file('clone');
    await run('git', ['clone', '--quiet', REPOSITORY, clone]);
  });

  afterAll(() => directory[Symbol.asyncDispose]());

  test('npm start serves the folder it is given', { timeout: FIRST_START }, async () => {
    await mkdir(directory.file('mine'));
    await writeFile(directory.file('mine/letter.txt'), 'Dear reader');
    await using server = await npmStart(clone, ['plugin-floppy', '../mine', '--port', '0']);
    const [uri] = await server.said(/nbd:\/\/\S+/);

    expect((await run('nbdinfo', [uri])).stdout).toContain('export-size:');

    const image = directory.file('disk.img');
    await run('nbdcopy', [uri, image]);
    const [, sector] = /start= *(\d+)/.exec((await run('sfdisk', ['--dump', image])).stdout) ?? [];
    const partition = `${image}@@${Number(sector) * 512}`;
    expect((await run('mtype', ['-i', partition, '::letter.txt'])).stdout).toBe('Dear reader');
  });

  test(
    'npm start alone serves the example and says what to try',
    { timeout: FIRST_START },
    async (context) => {
      if (!(await isFree(10809))) context.skip('port 10809 is in use');
      const { child, ended } = startChild('npm', ['start'], { cwd: clone, env: userEnvironment });
      try {
        const [text] = await collect(child.stderr).match(/[^]*serving .* at nbd:\/\/localhost/);
        expect(text).toContain('npm start -- plugin-floppy');
        expect((await run('nbdinfo', ['nbd://localhost'])).stdout).toContain('export-size:');
      } finally {
        child.kill();
        await ended;
      }
    },
  );

  test('what is started ends with npm', { timeout: FIRST_START }, async () => {
    const server = await npmStart(clone, ['plugin-floppy', 'examples/floppy', '--port', '0']);
    await server.stop();
    expect(() => process.kill(server.pid, 0)).toThrow('ESRCH');
  });

  test('the programs are there by name after the first start', async () => {
    const { stdout } = await run('npx', ['--no', 'nbd-serve', '--version'], {
      cwd: clone,
      env: userEnvironment,
    });
    expect(stdout).toMatch(/\d+\.\d+\.\d+/);
  });
});

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port);
  try {
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
