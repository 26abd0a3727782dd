import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TlsIdentity } from '@nbd/protocol';
import {
  clientTlsOptions,
  serverTlsOptions,
  tlsClient,
  tlsServer,
  type ClientTlsFiles,
  type ServerTlsFiles,
} from '../src/index.js';
import { psk } from './psk.js';
import { overSocket, type MakePair, type Pair } from './pairs.js';

export const CERTIFICATES = fileURLToPath(new URL('certificates', import.meta.url));
export const STRANGER = join(CERTIFICATES, 'stranger');
export const REVOKED = join(CERTIFICATES, 'revoked');

/** Two recorders over TCP; neither side has upgraded to TLS yet. */
export async function beforeTls(
  server: ServerTlsFiles,
  client: ClientTlsFiles,
  options?: Parameters<MakePair>[0],
): Promise<Pair & { upgrade: () => Promise<{ client: TlsIdentity; server: TlsIdentity }> }> {
  const pair = await overSocket({ host: '127.0.0.1', port: 0 }, options, {
    accept: { upgrade: tlsServer(await serverTlsOptions(server)) },
    connect: { upgrade: tlsClient(await clientTlsOptions(client)) },
  });
  return {
    ...pair,
    upgrade: async () => {
      const [right, left] = await Promise.all([
        pair.right.transport.upgradeTls!(),
        pair.left.transport.upgradeTls!(),
      ]);
      return { server: right, client: left };
    },
  };
}

/** Two recorders over TLS, where both have shown a certificate. */
export const certificatePair: MakePair = async (options) => {
  const files = { certificates: CERTIFICATES };
  const pair = await beforeTls({ ...files, verifyPeer: true }, files, options);
  await pair.upgrade();
  return pair;
};

export const pskPair: MakePair = async (options) => {
  await using keys = psk({ alice: '6f' });
  const files = { psk: keys.file };
  const pair = await beforeTls(files, files, options);
  await pair.upgrade();
  return pair;
};
