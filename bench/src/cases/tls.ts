import { certificates } from '../../../interop/harness/index.js';
import type { Case } from '../case.js';
import { fillAndReadAll, writeAll } from '../clients.js';
import type { Scope } from '../scope.js';
import { servers, type Work } from '../servers.js';

const SIZE = 2 ** 31;

export const TLS: readonly Case[] = [
  servers({
    name: 'tls-read',
    what: 'nbdcopy reads 2 GiB of plugin-memory to nowhere, over TLS with X.509 certificates',
    unit: 'B/s',
    ...memory(),
    ...overTls(fillAndReadAll(SIZE)),
  }),
  servers({
    name: 'tls-write',
    what: 'nbdcopy writes 2 GiB of a file over what plugin-memory has, over TLS',
    unit: 'B/s',
    ...memory(),
    ...overTls(writeAll(SIZE)),
  }),
];

function memory() {
  return {
    ours: async (scope: Scope) => [...(await tlsOptions(scope)), 'plugin-memory', `${SIZE}`],
    nbdkit: async (scope: Scope) => [...(await tlsOptions(scope)), 'memory', `${SIZE}`],
  };
}

async function tlsOptions(scope: Scope): Promise<readonly string[]> {
  return ['--tls=require', `--tls-certificates=${await scope.share(certificateFolder)}`];
}

async function certificateFolder(scope: Scope): Promise<string> {
  return scope.use(await certificates()).path;
}

/** The client has the same certificates. */
function overTls({ needs, first, run }: Work): Work {
  const secured = async (uri: string, scope: Scope) =>
    `${uri.replace(/^nbds?\+/, 'nbds+')}&tls-certificates=${await scope.share(certificateFolder)}`;
  return {
    needs: ['openssl', ...needs],
    first: async (server, scope) => first?.({ ...server, uri: await secured(server.uri, scope) }, scope),
    run: async (server, scope) => run({ ...server, uri: await secured(server.uri, scope) }, scope),
  };
}
