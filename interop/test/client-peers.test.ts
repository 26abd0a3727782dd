import { writeFile } from 'node:fs/promises';
import { connect, spawnServer, type ConnectOptions, type Target, type Terms } from '@nbd/client';
import { formatUri } from '@nbd/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  certificates,
  describeWith,
  freePort,
  preSharedKeys,
  temporaryDirectory,
  type Certificates,
  type PreSharedKeys,
} from '../harness/index.js';
import { exercise } from './client-exercise.js';
import { PEER_SERVERS, SIZE, type Headers, type PeerServer, type Place } from './peer-servers.js';

let certs: Certificates;
let keys: PreSharedKeys;

beforeAll(async () => {
  certs = await certificates();
  keys = await preSharedKeys('alice');
});

afterAll(async () => {
  for (const one of [certs, keys]) await one[Symbol.asyncDispose]();
});

for (const peer of PEER_SERVERS) {
  describeWith([peer.program, 'openssl'], peer.name, () => {
    // A captive is reached by nobody else, and so without TLS.
    const combinations = peer.transports.flatMap((transport) =>
      (isCaptive(transport) ? (['no TLS'] as const) : peer.securities).map(
        (security) => [transport, security] as const,
      ),
    );
    test.each(combinations)('%s, %s: all operations', async (transport, security) => {
      await using directory = await temporaryDirectory();
      const place: Place = {
        transport,
        security,
        port: transport === 'TCP' ? await freePort() : 0,
        socket: directory.file('socket'),
        image: directory.file('disk.img'),
        certificates: certs.path,
        keys: keys.file,
      };
      await writeFile(place.image, new Uint8Array(SIZE));
      await using server = await start(peer, place);
      const all = wishesUpTo(peer.headers);
      // A captive ends with its first disk.
      for (const [headers, wishes] of isCaptive(transport) ? all.slice(0, 1) : all) {
        await using disk = await connect(server.target, { ...tlsOptions(place), ...wishes, connections: 2 });
        expect(disk.size).toBe(BigInt(SIZE));
        expect(headersOf(disk.terms)).toBe(headers);
        expect(disk.terms.tls !== undefined).toBe(security !== 'no TLS');
        await exercise(disk);
      }
    });
  });
}

function isCaptive(transport: Place['transport']): boolean {
  return transport === 'socket activation' || transport === 'standard streams';
}

/** All headers that can be agreed on with a server that speaks so much. */
function wishesUpTo(best: Headers): [Headers, ConnectOptions][] {
  const all: [Headers, ConnectOptions][] = [
    ['extended', {}],
    ['structured', { extendedHeaders: false }],
    ['simple', { structuredReplies: false }],
  ];
  return all.slice(all.findIndex(([headers]) => headers === best));
}

function headersOf({ extendedHeaders, structuredReplies }: Terms): Headers {
  return extendedHeaders ? 'extended' : structuredReplies ? 'structured' : 'simple';
}

async function start(peer: PeerServer, place: Place): Promise<AsyncDisposable & { readonly target: Target }> {
  const { transport, security, port, socket } = place;
  if (isCaptive(transport)) {
    const mode = transport === 'standard streams' ? 'stdio' : 'socket-activation';
    const server = await spawnServer(peer.captive(place), { mode });
    return { target: server, [Symbol.asyncDispose]: () => server.stop() };
  }
  const server = await peer.start(place);
  const common = {
    tls: security !== 'no TLS',
    exportName: peer.exportName,
    ...(security === 'pre-shared keys' && { username: 'alice' }),
  };
  const target =
    transport === 'TCP'
      ? formatUri({ ...common, transport: 'tcp', host: '127.0.0.1', port })
      : formatUri({ ...common, transport: 'unix', socket });
  return { target, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function tlsOptions({ security, ...files }: Place): ConnectOptions {
  if (security === 'no TLS') return {};
  return {
    tlsFiles: security === 'certificates' ? { certificates: files.certificates } : { psk: files.keys },
  };
}
