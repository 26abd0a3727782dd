import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** Directories on different file systems, as far as this machine has them. */
export const PLACES = [tmpdir(), ...(existsSync('/dev/shm') ? ['/dev/shm'] : [])];

/** An empty directory, removed after the tests of the file. */
export function temporaryDirectory(parent = tmpdir()): string {
  const path = mkdtempSync(join(parent, 'nbd-plugin-file-'));
  afterAll(() => {
    rmSync(path, { recursive: true });
  });
  return path;
}
