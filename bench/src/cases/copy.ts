import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { run, serveNbdkit, temporaryDirectory, type Peer } from '../../../interop/harness/index.js';
import type { Case, Contender } from '../case.js';
import { dense, fill } from '../clients.js';
import type { Scope } from '../scope.js';
import { servers, timed } from '../servers.js';

const NBD_COPY = fileURLToPath(new URL('../../../packages/copy/bin/nbd-copy.js', import.meta.url));
const SIZE = 2 ** 32;
const SPARSE = ['sparse-random', '64G', 'seed=1'];

const CONVERT = ['convert', '-W', '-f', 'raw', '-O', 'raw'];
const PLUGIN = 'plugin:sparse-random?size=64G&seed=1';

const PROGRAMS: Readonly<
  Record<string, { readonly peers: readonly Peer[]; readonly command: readonly string[] }>
> = {
  'nbd-copy': { peers: [], command: [process.execPath, NBD_COPY] },
  nbdcopy: { peers: ['nbdcopy'], command: ['nbdcopy'] },
  'qemu-img': { peers: ['qemu-img'], command: ['qemu-img'] },
};

export const COPY: readonly Case[] = [
  servers({
    name: 'self-copy',
    what: 'nbdcopy copies plugin-sparse-random of 64 GiB onto itself',
    unit: 's',
    target: 0.95,
    ours: ['plugin-sparse-random', '64G', 'seed=1'],
    nbdkit: SPARSE,
    needs: ['nbdcopy'],
    run: ({ uri }) => timed(() => run('nbdcopy', [uri, uri])),
  }),
  {
    name: 'copy-self',
    what: 'nbdkit sparse-random of 64 GiB is copied onto itself',
    unit: 's',
    target: 0.87,
    contenders: [
      copier('nbd-copy', sparseRandom, (uri) => [uri, uri]),
      copier('nbdcopy', sparseRandom, (uri) => [uri, uri]),
      copier('qemu-img', sparseRandom, (uri) => [...CONVERT, '-n', uri, uri]),
    ],
  },
  {
    name: 'copy-plugin',
    what: 'the same in one process, plugin to plugin; nbdcopy with nbdkit on a socket',
    unit: 's',
    target: 1.6,
    contenders: [
      copier('nbd-copy', noServer, () => [PLUGIN, PLUGIN]),
      copier('nbdcopy', sparseRandom, (uri) => [uri, uri]),
      copier('qemu-img', sparseRandom, (uri) => [...CONVERT, '-n', uri, uri]),
    ],
  },
  {
    name: 'copy-from-file',
    what: 'a file of 4 GiB is copied to nbdkit memory',
    unit: 's',
    target: 0.91,
    contenders: [
      copier('nbd-copy', memoryAndFile, ({ uri, path }) => [path, uri]),
      copier('nbdcopy', memoryAndFile, ({ uri, path }) => [path, uri]),
      copier('qemu-img', memoryAndFile, ({ uri, path }) => [...CONVERT, '-n', path, uri]),
    ],
  },
  {
    name: 'copy-to-file',
    what: '4 GiB of nbdkit memory are copied to a new file',
    unit: 's',
    target: 0.91,
    contenders: [
      copier('nbd-copy', memoryAndFile, ({ uri, target }) => [uri, target]),
      copier('nbdcopy', memoryAndFile, ({ uri, target }) => [uri, target]),
      copier('qemu-img', memoryAndFile, ({ uri, target }) => [...CONVERT, uri, target]),
    ],
  },
  {
    name: 'copy-qcow2',
    what: 'qcow2 with 4 GiB of data, through a captive qemu-nbd, to a new raw file',
    unit: 's',
    target: 0.91,
    contenders: [
      copier('nbd-copy', qcow2, ({ captive, target }) => [...captive, target]),
      copier('nbdcopy', qcow2, ({ captive, target }) => ['--', ...captive, target]),
      copier('qemu-img', qcow2, ({ path, target }) => [
        'convert',
        '-W',
        '-f',
        'qcow2',
        '-O',
        'raw',
        path,
        target,
      ]),
    ],
  },
];

/** A program that copies, from its start to its end. */
function copier<T>(
  name: string,
  make: (scope: Scope) => Promise<T>,
  words: (made: T) => readonly string[],
): Contender {
  const { peers, command } = PROGRAMS[name]!;
  const [file, ...first] = command;
  return {
    name,
    needs: make === (noServer as unknown) ? peers : ['nbdkit', 'nbdcopy', 'qemu-img', 'qemu-nbd', ...peers],
    async prepare(scope) {
      const made = await scope.share(make);
      return {
        async run() {
          if (hasTarget(made)) await makeRoomFor(made.target);
          return timed(() => run(file!, [...first, ...words(made)]));
        },
      };
    },
  };
}

function noServer(): Promise<undefined> {
  return Promise.resolve(undefined);
}

async function sparseRandom(scope: Scope): Promise<string> {
  return scope.use(await serveNbdkit(SPARSE)).uri;
}

async function memoryAndFile(scope: Scope) {
  const server = scope.use(await serveNbdkit(['memory', `${SIZE}`]));
  await fill(SIZE)(server);
  const { path } = await scope.share(dense(SIZE));
  return { uri: server.uri, path, target: await targetFile(scope) };
}

async function qcow2(scope: Scope) {
  const raw = await scope.share(dense(SIZE));
  const directory = scope.use(await temporaryDirectory('/dev/shm'));
  const path = directory.file('disk.qcow2');
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw.path, path]);
  const captive = ['[', 'qemu-nbd', '--read-only', '-f', 'qcow2', path, ']'];
  return { path, captive, target: await targetFile(scope) };
}

async function targetFile(scope: Scope): Promise<string> {
  return scope.use(await temporaryDirectory('/dev/shm')).file('target.img');
}

function hasTarget(made: unknown): made is { readonly target: string } {
  return typeof made === 'object' && made !== null && 'target' in made;
}

/**
 * Removes what the run before has made, and sees to it that the machine has memory at hand for it: a virtual machine
 * may have to ask its host for what nobody used of late, which takes longer than the copy.
 */
async function makeRoomFor(target: string): Promise<void> {
  await rm(target, { force: true });
  await run('fallocate', ['--length', `${SIZE}`, target]);
  await rm(target);
}
