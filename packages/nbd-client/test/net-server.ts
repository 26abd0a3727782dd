import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acceptSocket, type TlsUpgrade } from '@nbd/transport';
import { ClientGone, ScriptedServer } from './scripted-server.js';

/** A scripted server on a real socket, which is gone with its scope. */
export interface NetServer extends AsyncDisposable {
  readonly uri: string;
  readonly port: number;
  readonly socket: string;
  readonly servers: ScriptedServer[];
  readonly failures: unknown[];
}

export async function listen(
  script: (server: ScriptedServer) => Promise<void>,
  options: { unix?: boolean; upgrade?: TlsUpgrade } = {},
): Promise<NetServer> {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-client-'));
  const socket = join(directory, 'socket');
  const servers: ScriptedServer[] = [];
  const failures: unknown[] = [];
  const listener = createServer({ pauseOnConnect: true }, (accepted) => {
    acceptSocket(
      accepted,
      (transport) => {
        const server = new ScriptedServer(transport);
        servers.push(server);
        script(server).catch((error: unknown) => {
          if (!(error instanceof ClientGone)) failures.push(error);
          transport.destroy();
        });
        return server;
      },
      options.upgrade ? { upgrade: options.upgrade } : {},
    );
  });
  listener.listen(options.unix === true ? { path: socket } : { host: '127.0.0.1', port: 0 });
  await once(listener, 'listening');
  const port = options.unix === true ? 0 : (listener.address() as AddressInfo).port;
  return {
    uri: options.unix === true ? `nbd+unix:///?socket=${socket}` : `nbd://127.0.0.1:${port}`,
    port,
    socket,
    servers,
    failures,
    async [Symbol.asyncDispose]() {
      listener.close();
      await once(listener, 'close');
      rmSync(directory, { recursive: true });
    },
  };
}
