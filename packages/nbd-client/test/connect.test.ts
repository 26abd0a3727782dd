import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Option, OptionReply } from '@nbd/protocol';
import { serverTlsOptions, tlsServer, type ServerTlsFiles } from '@nbd/transport';
import { afterAll, describe, expect, test } from 'vitest';
import { connect, info, type ConnectOptions } from '../src/index.js';
import { serveModel } from './model-server.js';
import { listen, type NetServer } from './net-server.js';
import type { ScriptedServer } from './scripted-server.js';

const memory = Uint8Array.from({ length: 4096 }, (_, i) => i >> 4);
const serve = (server: ScriptedServer) => serveModel(server, memory);

const directory = mkdtempSync(join(tmpdir(), 'nbd-client-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

async function readsWith(target: Parameters<typeof connect>[0], options?: ConnectOptions): Promise<void> {
  await using disk = await connect(target, options);
  expect(await disk.read(1600n, 2)).toEqual(Uint8Array.of(100, 100));
}

describe('a disk is reached', () => {
  test('over TCP', async () => {
    await using server = await listen(serve);
    await readsWith(server.uri);
    await readsWith({ host: '127.0.0.1', port: server.port });
    await readsWith({ host: 'localhost', port: server.port });
  });

  test('over a Unix socket', async () => {
    await using server = await listen(serve, { unix: true });
    await readsWith(server.uri);
    await readsWith({ path: server.socket });
  });

  test('over a stream that is there already', async () => {
    await using server = await listen(serve);
    const socket = connectTo(server.port, '127.0.0.1');
    await once(socket, 'connect');
    await readsWith(socket, { connections: 4, reconnect: { attempts: 1, delay: 1 } });
  });

  test('by the export name of the URI, or of the options', async () => {
    const names: string[] = [];
    await using server = await listen(async (server) => {
      await server.greet();
      for (;;) {
        const { option, data } = await server.option();
        if (option === Option.GO) names.push(data.subarray(4, -8).toString());
        server.reply(option, option === Option.GO ? OptionReply.ERR_UNKNOWN : OptionReply.ERR_UNSUP);
      }
    });
    await expect(connect(`${server.uri}/a%20b/c`)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(connect(`${server.uri}/a`, { exportName: 'd' })).rejects.toMatchObject({ code: 'ENOENT' });
    expect(names).toEqual(['a b/c', 'd']);
  });
});

describe('what keeps it from connecting is an error', () => {
  test.each<[string, ConnectOptions, string]>([
    ['http://localhost', {}, 'EINVAL'],
    ['nbd://localhost:99999', {}, 'EINVAL'],
    ['nbd+ssh://localhost', {}, 'ENOTSUP'],
    ['nbd://localhost?unknown=1', {}, 'EINVAL'],
    ['nbds://localhost', { tls: 'allow' }, 'EINVAL'],
    ['nbds://localhost', { tls: 'off' }, 'EINVAL'],
    ['nbds://localhost?tls-certificates=/etc/pki', {}, 'EACCES'],
    ['nbds://localhost?tls-psk-file=/etc/shadow', {}, 'EACCES'],
    ['nbds://localhost?tls-psk-file=/no/such/file', { allowUriFiles: true }, 'ENOENT'],
    ['nbds://localhost?tls-type=anon', {}, 'ENOTSUP'],
    ['nbds://localhost?tls-type=psk', {}, 'EINVAL'],
    ['nbd+unix:///?socket=/no/such/socket', {}, 'ENOENT'],
  ])('%s with %o', async (uri, options, code) => {
    await expect(connect(uri, options)).rejects.toMatchObject({ code });
  });

  test('that names the server', async () => {
    let port;
    {
      await using server = await listen(serve);
      ({ port } = server);
    }
    await expect(connect(`nbd://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      message: `nbd://127.0.0.1:${port}: the connection has failed: connect ECONNREFUSED 127.0.0.1:${port}`,
    });
  });

  test('if a stream is to be connected to twice', async () => {
    await using server = await listen(async (server) => {
      await server.handshake();
      await server.request();
      server.end();
    });
    const socket = connectTo(server.port, '127.0.0.1');
    await once(socket, 'connect');
    const disk = await connect(socket, { reconnect: { attempts: 2, delay: 1 } });
    await expect(disk.read(0n, 1)).rejects.toThrow(/can not be opened again/);
  });

  test('no part of a URI is an option of a command, or runs one', async () => {
    for (const uri of ['nbd://-oProxyCommand=id', 'nbd://$(id)', 'nbd+unix:///?socket=|id', 'nbd://`id`']) {
      await expect(connect(uri)).rejects.toThrow();
    }
  });
});

const CERTIFICATES = fileURLToPath(new URL('../../nbd-transport/test/certificates', import.meta.url));
const keys = join(directory, 'keys.psk');
writeFileSync(keys, `alice:${'6f'.repeat(32)}\nbob:${'70'.repeat(32)}\n`);

/** A server that agrees to TLS, and serves only over it. */
async function listenWithTls(files: ServerTlsFiles): Promise<NetServer> {
  return listen(
    async (server) => {
      await server.greet();
      const { option } = await server.option();
      if (option !== Option.STARTTLS) throw new Error(`asked for option ${option} in the clear`);
      server.reply(option, OptionReply.ACK);
      await server.startTls();
      Object.assign(server, { greet: () => Promise.resolve(0) });
      await serveModel(server, memory);
    },
    { upgrade: tlsServer(await serverTlsOptions(files)) },
  );
}

describe('over TLS', () => {
  const tlsUri = (server: NetServer, rest = '') => `${server.uri.replace('nbd', 'nbds')}${rest}`;

  test('a server is known by its certificate', async () => {
    await using server = await listenWithTls({ certificates: CERTIFICATES });
    await using disk = await connect(tlsUri(server), { tlsFiles: { certificates: CERTIFICATES } });
    expect(disk.terms.tls).toEqual({ commonName: 'localhost' });
    expect(await disk.read(1600n, 1)).toEqual(Uint8Array.of(100));
    expect(server.failures).toEqual([]);
  });

  test('a URI may name the files, if it is allowed to', async () => {
    await using server = await listenWithTls({ certificates: CERTIFICATES, verifyPeer: true });
    await readsWith(tlsUri(server, `?tls-certificates=${CERTIFICATES}`), { allowUriFiles: true });
    await readsWith(tlsUri(server, `?tls-certificates=${CERTIFICATES}&tls-hostname=localhost`), {
      allowUriFiles: true,
    });
  });

  test("Node's own options go before", async () => {
    await using server = await listenWithTls({ certificates: CERTIFICATES });
    await readsWith(tlsUri(server), { tlsOptions: { ca: readFileSync(join(CERTIFICATES, 'ca-cert.pem')) } });
  });

  test('both know a pre-shared key', async () => {
    await using server = await listenWithTls({ psk: keys });
    const uri = tlsUri(server).replace('//', '//bob@');
    await readsWith(uri, { tlsFiles: { psk: keys } });
    await readsWith(`${uri}?tls-psk-file=${keys}`, { allowUriFiles: true });
  });

  test('it is taken where it is only allowed', async () => {
    await using server = await listenWithTls({ certificates: CERTIFICATES });
    await readsWith(server.uri, { tls: 'allow', tlsFiles: { certificates: CERTIFICATES } });
  });

  test.each<[string, ConnectOptions]>([
    ['nobody knows', {}],
    ['another authority has certified', { tlsFiles: { certificates: join(CERTIFICATES, 'stranger') } }],
    ['has another name', { tlsFiles: { certificates: CERTIFICATES, hostname: 'nbd.example.com' } }],
    ['should know a key', { tlsFiles: { psk: keys, username: 'alice' } }],
  ])('a server that %s is refused (CVE-2024-7383)', async (_name, options) => {
    await using server = await listenWithTls({ certificates: CERTIFICATES });
    await expect(connect(tlsUri(server), options)).rejects.toMatchObject({
      code: 'EACCES',
      message: expect.stringContaining('TLS with the server failed') as string,
    });
    await expect(info(tlsUri(server), options)).rejects.toMatchObject({ code: 'EACCES' });
    // Nor is it done without where TLS is only allowed: that would be a server that does not have it.
    await expect(connect(server.uri, { tls: 'allow', ...options })).rejects.toMatchObject({ code: 'EACCES' });
    await Promise.all(server.servers.map(({ closed }) => closed));
  });

  test('a server is not verified only if that is said', async () => {
    await using server = await listenWithTls({ certificates: join(CERTIFICATES, 'stranger') });
    await readsWith(tlsUri(server), { tlsFiles: { certificates: CERTIFICATES, verifyPeer: false } });
    await readsWith(tlsUri(server, '?tls-verify-peer=0'));
  });

  test('a server that agrees and never begins runs into the time limit', async () => {
    await using server = await listen(async (server) => {
      await server.greet();
      server.reply((await server.option()).option, OptionReply.ACK);
    });
    await expect(connect(tlsUri(server), { connectTimeout: 100 })).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    await server.servers[0]!.closed;
  });

  test('a server that answers TLS with NBD is refused', async () => {
    await using server = await listen(async (server) => {
      await server.greet();
      server.reply((await server.option()).option, OptionReply.ACK);
      await server.receive(1);
      server.reply(Option.GO, OptionReply.ACK);
    });
    await expect(connect(tlsUri(server))).rejects.toMatchObject({ code: 'EACCES' });
  });
});
