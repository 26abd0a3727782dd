import { fileURLToPath } from 'node:url';
import { freePort, run, serveNbdkit, startServer, type Peer } from '../../../interop/harness/index.js';
import type { Case, Contender, Run } from '../case.js';
import { fill } from '../clients.js';
import type { Scope } from '../scope.js';
import { timed } from '../servers.js';

const SIZE = 2 ** 32;

/** What the clients are measured with. */
async function nbdkit(scope: Scope): Promise<string> {
  const server = scope.use(await serveNbdkit(['memory', `${SIZE}`]));
  await fill(SIZE)(server);
  return server.uri;
}

/** The same over TCP, which is what @vates/nbd-client speaks. */
async function nbdkitOnTcp(scope: Scope): Promise<string> {
  const port = await freePort();
  const server = scope.use(
    await startServer('nbdkit', ({ pidFile }) => [
      ...['--foreground', '--ipaddr', '127.0.0.1', '--port', `${port}`, '--pidfile', pidFile],
      ...['memory', `${SIZE}`],
    ]),
  );
  const uri = `nbd://127.0.0.1:${port}`;
  await fill(SIZE)({ ...server, uri });
  return uri;
}

export const CLIENT: readonly Case[] = [
  {
    name: 'client-read',
    what: '4 GiB of nbdkit memory are read to nowhere; nbdcopy has 4 connections, the other 2',
    unit: 'B/s',
    target: 0.95,
    contenders: [
      program('@nbd/client', nbdkit, 'read.js', ['nbd']),
      client('nbdcopy', ['nbdcopy'], nbdkit, (uri) => copying([uri, 'null:'])),
    ],
  },
  {
    name: 'client-read-tcp',
    what: 'the same over TCP, on 4 connections; @vates/nbd-client has 1',
    unit: 'B/s',
    target: 3,
    contenders: [
      program('@nbd/client', nbdkitOnTcp, 'read.js', ['nbd']),
      program('@vates/nbd-client, 64 × 256 KiB', nbdkitOnTcp, 'read.js', ['vates'], [256 << 10, 64]),
      program('@vates/nbd-client, 3 × 512 KiB', nbdkitOnTcp, 'read.js', ['vates']),
      client('nbdcopy', ['nbdcopy'], nbdkitOnTcp, (uri) => copying([uri, 'null:'])),
    ],
  },
  {
    name: 'client-write',
    what: '4 GiB from nowhere are written to nbdkit memory, on 4 connections; libnbd’s by fio',
    unit: 'B/s',
    target: 0.95,
    contenders: [
      program('@nbd/client', nbdkit, 'write.js'),
      client('libnbd', ['fio'], nbdkit, writingWithFio),
    ],
  },
];

function client(
  name: string,
  needs: readonly Peer[],
  server: (scope: Scope) => Promise<string>,
  work: (uri: string) => Promise<Run | number>,
): Contender {
  return {
    name,
    needs: ['nbdkit', 'nbdcopy', ...needs],
    async prepare(scope) {
      const uri = await scope.share(server);
      return { run: () => work(uri) };
    },
  };
}

/** A program of this folder's, which prints a `Run`: it measures from when it is connected. */
function program(
  name: string,
  server: (scope: Scope) => Promise<string>,
  file: string,
  before: readonly string[] = [],
  after: readonly number[] = [],
): Contender {
  const path = fileURLToPath(new URL(`../../programs/${file}`, import.meta.url));
  return client(name, [], server, async (uri) => {
    const { stdout } = await run(process.execPath, [path, ...before, uri, ...after.map(String)]);
    return JSON.parse(stdout) as Run;
  });
}

async function copying(words: readonly string[]): Promise<number> {
  return SIZE / (await timed(() => run('nbdcopy', words)));
}

/** fio's engine for NBD is libnbd; nbdcopy would have to read what it writes from somewhere. */
async function writingWithFio(uri: string): Promise<number> {
  const seconds = await timed(() =>
    run('fio', [
      ...['--name=bench', '--ioengine=nbd', `--uri=${uri}`, '--rw=write', '--bs=256k', '--iodepth=16'],
      ...['--numjobs=4', `--size=${SIZE / 4}`, `--offset_increment=${SIZE / 4}`],
    ]),
  );
  return SIZE / seconds;
}
