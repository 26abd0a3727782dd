import { connect } from '@nbd/client';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { run, serve, serveNbdkit, temporaryDirectory, type Server } from '../../../interop/harness/index.js';
import type { Case, Contender, Run } from '../case.js';
import { peakMemory, residentMemory } from '../processes.js';
import { Scope } from '../scope.js';
import { servers, timed, wordsFor, type Words } from '../servers.js';

const CONNECTIONS = 1000;

export const START: readonly Case[] = [
  start('data', 'plugin-data of a boot sector', ['0x55 @0x1fe 0x55 0xaa']),
  start('floppy', 'plugin-floppy of three files', smallDirectory),
  start('memory', 'plugin-memory of 1 GiB', ['1G']),
  start('file', 'plugin-file of 1 GiB', sparseFile),
  start('sparse-random', 'plugin-sparse-random of 1 TiB', ['1T', 'seed=1']),
  start('floppy', 'plugin-floppy of 100 000 files', manyFiles, 'floppy-100k'),
  servers({
    name: 'map-sparse-random',
    what: 'nbdinfo asks for the whole map of plugin-sparse-random of 1 TiB',
    unit: 's',
    ours: ['plugin-sparse-random', '1T', 'seed=1'],
    nbdkit: ['sparse-random', '1T', 'seed=1'],
    needs: ['nbdinfo'],
    run: ({ uri }) => timed(() => run('nbdinfo', ['--map', '--totals', uri])),
  }),
  {
    name: 'idle-connections',
    what: `memory for each of ${CONNECTIONS} idle connections`,
    unit: 'B',
    contenders: [
      { name: 'nbd-serve', needs: [], prepare: idling(() => serve(['plugin-memory', '1G'])) },
      { name: 'nbdkit', needs: ['nbdkit'], prepare: idling(() => serveNbdkit(['memory', '1G'])) },
    ],
  },
];

/** From the start of the server's program to the first bytes that a client has, and memory then. */
function start(plugin: string, what: string, words: Words, name = plugin): Case {
  return {
    name: `start-${name}`,
    what: `until the first byte of ${what} is read`,
    unit: 's',
    contenders: [
      {
        name: 'nbd-serve',
        needs: [],
        prepare: async (scope) => {
          const all = [`plugin-${plugin}`, ...(await wordsFor(words, scope))];
          return { run: () => firstByte(() => serve(all)) };
        },
      },
      {
        name: 'nbdkit',
        needs: ['nbdkit'],
        prepare: async (scope) => {
          const all = [plugin, ...(await wordsFor(words, scope))];
          return { run: () => firstByte(() => serveNbdkit(all)) };
        },
      },
    ],
  };
}

async function firstByte(begin: () => Promise<Server>): Promise<Run> {
  const started = performance.now();
  await using server = await begin();
  await using disk = await connect(server.uri);
  await disk.read(0n, 512);
  return { figure: (performance.now() - started) / 1000, peak: peakMemory(server.pid) };
}

/** A server with many clients that only connect. */
function idling(begin: () => Promise<Server>): Contender['prepare'] {
  const run = async (): Promise<Run> => {
    await using scope = new Scope();
    const server = scope.use(await begin());
    scope.use(await connect(server.uri));
    const before = residentMemory(server.pid);
    for (let i = 0; i < CONNECTIONS; i++) scope.use(await connect(server.uri));
    const figure = (residentMemory(server.pid) - before) / CONNECTIONS;
    return { figure, peak: peakMemory(server.pid) };
  };
  return () => Promise.resolve({ run });
}

async function smallDirectory(scope: Scope): Promise<readonly string[]> {
  return [await directoryOf(scope, 3)];
}

async function manyFiles(scope: Scope): Promise<readonly string[]> {
  return [await scope.share(hundredThousandFiles)];
}

function hundredThousandFiles(scope: Scope): Promise<string> {
  return directoryOf(scope, 100_000);
}

async function sparseFile(scope: Scope): Promise<readonly string[]> {
  const path = scope.use(await temporaryDirectory('/dev/shm')).file('disk.img');
  await writeFile(path, '');
  await truncate(path, 2 ** 30);
  return [path];
}

/** Files of a few bytes, a thousand to a directory. */
async function directoryOf(scope: Scope, count: number): Promise<string> {
  const root = scope.use(await temporaryDirectory('/dev/shm'));
  for (let i = 0; i < count; i++) {
    const folder = root.file(`folder-${Math.floor(i / 1000)}`);
    if (i % 1000 === 0) await mkdir(folder);
    await writeFile(`${folder}/file number ${i}.txt`, `${i}\n`);
  }
  return root.path;
}
