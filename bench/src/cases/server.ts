import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { randomFillSync } from 'node:crypto';
import { temporaryDirectory } from '../../../interop/harness/index.js';
import type { Case } from '../case.js';
import { dense, fillAndReadAll, readAll, writeAll } from '../clients.js';
import type { Scope } from '../scope.js';
import { servers, type Words } from '../servers.js';

const GIB = 2 ** 30;
const MIB = 2 ** 20;

const file =
  (...before: string[]): Words =>
  async (scope) => [...before, (await scope.share(dense(4 * GIB))).path];

const directory =
  (plugin: string, files: (scope: Scope) => Promise<string>): Words =>
  async (scope) => [plugin, await scope.share(files)];

export const SERVER: readonly Case[] = [
  servers({
    name: 'read-memory',
    what: 'nbdcopy reads 4 GiB of plugin-memory to nowhere',
    unit: 'B/s',
    target: 1.1,
    ours: ['plugin-memory', '4G'],
    nbdkit: ['memory', '4G'],
    ...fillAndReadAll(4 * GIB),
  }),
  servers({
    name: 'read-sparse-random',
    what: 'nbdcopy reads 16 GiB of plugin-sparse-random to nowhere',
    unit: 'B/s',
    target: 1.1,
    ours: ['plugin-sparse-random', '16G', 'percent=100', 'seed=1'],
    nbdkit: ['sparse-random', '16G', 'percent=100', 'seed=1'],
    ...readAll(16 * GIB),
  }),
  servers({
    name: 'read-sparse-random-t2',
    what: 'the same with --threads=2',
    unit: 'B/s',
    target: 1.1,
    ours: ['--threads=2', 'plugin-sparse-random', '16G', 'percent=100', 'seed=1'],
    nbdkit: ['sparse-random', '16G', 'percent=100', 'seed=1'],
    ...readAll(16 * GIB),
  }),
  servers({
    name: 'read-random-content',
    what: 'nbdcopy reads 4 GiB of plugin-sparse-random with random content to nowhere',
    unit: 'B/s',
    target: 1,
    ours: ['plugin-sparse-random', '4G', 'percent=100', 'seed=1', 'random-content=true'],
    nbdkit: ['sparse-random', '4G', 'percent=100', 'seed=1', 'random-content=true'],
    ...readAll(4 * GIB),
  }),
  servers({
    name: 'read-file',
    what: 'nbdcopy reads 4 GiB of plugin-file to nowhere',
    unit: 'B/s',
    target: 1.1,
    ours: file('plugin-file', 'lock=off'),
    nbdkit: file('file'),
    qemuNbd: file('--format=raw', '--cache=writeback'),
    ...readAll(4 * GIB),
  }),
  servers({
    name: 'read-floppy',
    what: 'nbdcopy reads plugin-floppy of 64 files of 64 MiB to nowhere',
    unit: 'B/s',
    target: 1.1,
    ours: directory('plugin-floppy', largeFiles),
    nbdkit: directory('floppy', largeFiles),
    ...readAll(4 * GIB),
  }),
  servers({
    name: 'read-floppy-small',
    what: 'nbdcopy reads plugin-floppy of 32 768 files of 64 KiB to nowhere',
    unit: 'B/s',
    target: 1.1,
    ours: directory('plugin-floppy', smallFiles),
    nbdkit: directory('floppy', smallFiles),
    ...readAll(2 * GIB),
  }),
  servers({
    name: 'write-memory',
    what: 'nbdcopy writes 4 GiB of a file over what plugin-memory has',
    unit: 'B/s',
    target: 0.95,
    ours: ['plugin-memory', '4G'],
    nbdkit: ['memory', '4G'],
    ...writeAll(4 * GIB),
  }),
  servers({
    name: 'write-file',
    what: 'nbdcopy writes 4 GiB of a file over what plugin-file has',
    unit: 'B/s',
    target: 0.95,
    ours: emptyFile('plugin-file'),
    nbdkit: emptyFile('file'),
    qemuNbd: emptyFile('--format=raw', '--cache=writeback'),
    ...writeAll(4 * GIB),
  }),
  servers({
    name: 'write-file-t2',
    what: 'the same with --threads=2',
    unit: 'B/s',
    target: 0.95,
    ours: emptyFile('--threads=2', 'plugin-file'),
    nbdkit: emptyFile('file'),
    qemuNbd: emptyFile('--format=raw', '--cache=writeback'),
    ...writeAll(4 * GIB),
  }),
];

/** A file for each that serves one. */
function emptyFile(...before: string[]): Words {
  return async (scope) => {
    const place = scope.use(await temporaryDirectory('/dev/shm'));
    const path = place.file('disk.img');
    await writeFile(path, '');
    await truncate(path, 4 * GIB);
    return [...before, path];
  };
}

function largeFiles(scope: Scope): Promise<string> {
  return tree(scope, 64, 64 * MIB);
}

function smallFiles(scope: Scope): Promise<string> {
  return tree(scope, 32_768, 64 << 10);
}

/** A directory with files of `size` bytes, a hundred in each of its own directories. */
async function tree(scope: Scope, count: number, size: number): Promise<string> {
  const root = scope.use(await temporaryDirectory('/dev/shm'));
  const content = randomFillSync(new Uint8Array(size));
  for (let i = 0; i < count; i++) {
    const folder = root.file(`folder-${Math.floor(i / 100)}`);
    if (i % 100 === 0) await mkdir(folder);
    await writeFile(`${folder}/file-${i}`, content);
  }
  return root.path;
}
