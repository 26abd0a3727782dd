import { FileDisk } from './file-disk.js';
import { lockFile, openFile } from './open-file.js';
import type { Source, SourceOptions } from './source.js';

/** One file. It stays open, and locked, as long as the server runs: all connections have the same disk. */
export function singleFile(path: string, { readOnly, lock, system }: SourceOptions): Source {
  const file = openFile(path, { name: path, readOnly, system });
  if (lock && system) lockFile(file, system);
  const disk = new FileDisk(file, system);
  return {
    exports: () => undefined,
    open: () => disk.device(() => undefined),
    // By way of the descriptor it is the same file, whatever has its name by now; and the lock is ours for both.
    twin: () =>
      file.isBlockDevice || process.platform !== 'linux'
        ? undefined
        : [`file=/proc/${process.pid}/fd/${file.fd}`, 'lock=off'],
    close: () => disk.close(),
  };
}
