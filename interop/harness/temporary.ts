import { rmSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const existing = new Set<string>();

process.on('exit', () => {
  for (const path of existing) rmSync(path, { recursive: true, force: true });
});

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** The path of `name` within it. */
  file(name: string): string;
}

/**
 * A fresh empty directory, removed with all that is in it when the scope ends.
 *
 * ```ts
 * await using directory = await temporaryDirectory();
 * await writeFile(directory.file('disk.img'), bytes);
 * ```
 * @param parent where it lies, on another file system maybe.
 */
export async function temporaryDirectory(parent = tmpdir()): Promise<TemporaryDirectory> {
  // Short: the path of a Unix socket has room for 107 bytes.
  const path = await mkdtemp(join(await realpath(parent), 'nbd-'));
  existing.add(path);
  return {
    path,
    file: (name) => join(path, name),
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
      existing.delete(path);
    },
  };
}
