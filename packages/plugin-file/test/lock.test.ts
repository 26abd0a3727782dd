import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadSystem } from '../src/system/index.js';
import { setUp } from './open.js';
import { temporaryDirectory } from './temporary.js';

const directory = temporaryDirectory();

/** Another process that serves the file, until it is killed. */
async function serveElsewhere(path: string, readOnly: boolean): Promise<{ kill: () => Promise<void> }> {
  const script = `
    import file from '@nbd/plugin-file';
    await file.fromArguments([${JSON.stringify(path)}], { readOnly: ${readOnly} });
    console.log('open');
    setInterval(() => {}, 1000);
  `;
  const cwd = join(import.meta.dirname, '..');
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  onTestFinished(kill);
  await once(child.stdout, 'data');
  return { kill };
}

test.skipIf(loadSystem().system === undefined)(
  'a file that another process serves is refused until that has ended, however it ended',
  async () => {
    const path = join(directory, 'disk');
    writeFileSync(path, 'abc');
    const other = await serveElsewhere(path, false);
    await expect(setUp([path])).rejects.toMatchObject({ code: 'EBUSY' });
    await expect(setUp([path], { readOnly: true })).rejects.toMatchObject({ code: 'EBUSY' });
    await other.kill();
    await setUp([path]);
  },
  30_000,
);

test.skipIf(loadSystem().system === undefined)(
  'processes that only read share a file',
  async () => {
    const path = join(directory, 'shared');
    writeFileSync(path, 'abc');
    await serveElsewhere(path, true);
    await setUp([path], { readOnly: true });
    await expect(setUp([path])).rejects.toMatchObject({ code: 'EBUSY' });
  },
  30_000,
);
