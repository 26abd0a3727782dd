import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockDevice, ByteTransport } from '@nbd/protocol';
import type { Plugin } from '@nbd/plugin';
import { connectSocket, type TlsUpgrade } from '@nbd/transport';
import { onTestFinished } from 'vitest';
import { createServer, type NbdServer, type ServerOptions } from '../../src/index.js';
import { RawClient } from './raw-client.js';

export interface SocketServer {
  readonly server: NbdServer;
  /** What was logged. */
  readonly log: string[];
  /** @param upgrade for a client that is to do TLS */
  readonly connect: (upgrade?: TlsUpgrade) => { client: RawClient; startTls: () => Promise<unknown> };
}

/** A server on a Unix socket, closed at the end of the test. */
export async function serveOnSocket(
  source: BlockDevice | Plugin,
  options: Partial<Omit<ServerOptions, 'plugin' | 'device'>> = {},
): Promise<SocketServer> {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-server-'));
  const path = join(directory, 'socket');
  const log: string[] = [];
  const note = (message: string) => {
    log.push(message);
  };
  const server = createServer({
    ...('open' in source ? { plugin: source } : { device: source }),
    log: { warn: note, info: note, debug: () => undefined },
    ...options,
  });
  await server.listen({ path });
  const clients: RawClient[] = [];
  onTestFinished(async () => {
    for (const client of clients) client.hangUp();
    await server.close();
    rmSync(directory, { recursive: true });
  });
  return {
    server,
    log,
    connect(upgrade) {
      let client!: RawClient;
      let joined!: ByteTransport;
      connectSocket(
        { path },
        (transport) => {
          joined = transport;
          return (client = new RawClient(transport));
        },
        upgrade ? { upgrade } : {},
      );
      clients.push(client);
      return { client, startTls: () => joined.upgradeTls!() };
    },
  };
}
