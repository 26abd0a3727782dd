import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { connectRaw, serve, type RawClient, type Server } from '../../harness/index.js';

export const ODD_PLUGIN = fileURLToPath(new URL('../../fixtures/odd-plugin.js', import.meta.url));

/** One server for the tests of a file, and a new connection for each that asks. */
export function useOddServer(...options: readonly string[]): {
  connect(): Promise<RawClient>;
  readonly server: Server;
} {
  let server: Server;
  const open: Disposable[] = [];
  beforeAll(async () => {
    server = await serve([ODD_PLUGIN, ...options]);
  });
  afterAll(async () => {
    for (const connection of open) connection[Symbol.dispose]();
    await server.stop();
  });
  return {
    get server() {
      return server;
    },
    async connect() {
      const connection = await connectRaw(server);
      open.push(connection);
      return connection.client;
    },
  };
}
