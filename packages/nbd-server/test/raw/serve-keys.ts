import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockDevice } from '@nbd/protocol';
import type { Plugin } from '@nbd/plugin';
import { clientTlsOptions, serverTlsOptions, tlsClient, tlsServer } from '@nbd/transport';
import { serveOnSocket, type SocketServer } from './serve-socket.js';

/** A server that does TLS for who asks for it. @returns what connects a client that has alice's key */
export async function serveWithKeys(
  source: BlockDevice | Plugin,
): Promise<() => ReturnType<SocketServer['connect']>> {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-server-'));
  const psk = join(directory, 'keys.psk');
  writeFileSync(psk, `alice:${'6f'.repeat(32)}\n`);
  const upgrade = tlsServer(await serverTlsOptions({ psk }));
  const client = tlsClient(await clientTlsOptions({ psk, username: 'alice' }));
  rmSync(directory, { recursive: true });
  const served = await serveOnSocket(source, { tls: { require: false, upgrade } });
  return () => served.connect(client);
}
