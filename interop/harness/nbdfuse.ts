import { mkdir } from 'node:fs/promises';
import { run } from './run.js';
import { startServer } from './server.js';
import { temporaryDirectory } from './temporary.js';

/**
 * A disk that local programs see as a file, for tools that know nothing of NBD. Needs `nbdfuse` and `fusermount3`.
 *
 * ```ts
 * await using disk = await mountWithNbdfuse(server.uri);
 * await run('sgdisk', ['-v', disk.path]);
 * ```
 */
export async function mountWithNbdfuse(uri: string): Promise<{ readonly path: string } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const mountPoint = directory.file('mnt');
  await mkdir(mountPoint);
  const nbdfuse = await startServer('nbdfuse', ({ pidFile }) => ['--pidfile', pidFile, mountPoint, uri]);
  return {
    path: `${mountPoint}/nbd`,
    async [Symbol.asyncDispose]() {
      await run('fusermount3', ['-u', mountPoint]);
      await nbdfuse.ended;
      await nbdfuse.stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}
