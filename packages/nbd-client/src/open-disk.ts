import { NbdError } from '@nbd/protocol';
import { NbdClient, type Owned } from './client.js';
import { Connection } from './connection.js';
import type { Dial } from './dial.js';
import { Dispatcher } from './dispatcher.js';
import { featuresOf } from './features.js';
import type { DiskOptions } from './options.js';
import { Window } from './window.js';

/**
 * Connects to a disk by way of a function that makes the connections. Runs anywhere, browsers included; in Node,
 * `connect` knows how to reach a server by its URI.
 *
 * ```ts
 * const disk = await openDisk((attach) => joinWebSocket(socket, attach));
 * const sector = await disk.read(0n, 512);
 * ```
 *
 * @throws NbdError for anything that keeps it from connecting: ENOENT if there is no such export, EACCES if the server
 *   does not let us in, EPROTO if it breaks the protocol, ETIMEDOUT, ECONNREFUSED, …
 */
export function openDisk(dial: Dial, options: DiskOptions = {}): Promise<NbdClient> {
  return openDiskOf(undefined, dial, options);
}

/** As {@link openDisk}, for a server that belongs to the client: it is stopped with it, also if connecting fails. */
export async function openDiskOf(
  server: Owned | undefined,
  dial: Dial,
  options: DiskOptions,
): Promise<NbdClient> {
  try {
    return await openConnections(server, dial, options);
  } catch (error) {
    if (!server) throw error;
    await server.stop();
    throw server.explain(error);
  }
}

async function openConnections(
  server: Owned | undefined,
  dial: Dial,
  options: DiskOptions,
): Promise<NbdClient> {
  const dispatcher = new Dispatcher(new Window(options.window), options.reconnect);
  const newConnection = () =>
    new Connection(dial, options, options, (connection, error) => {
      dispatcher.lost(connection, error);
    });
  const first = newConnection();
  await first.open();
  dispatcher.add(first);
  const wanted = featuresOf(first.terms.flags).multiConn ? (options.connections ?? 1) : 1;
  const others = Array.from({ length: wanted - 1 }, newConnection);
  const opened = await Promise.allSettled(others.map((connection) => connection.open(first.terms)));
  for (const connection of others) dispatcher.add(connection);
  const failure = opened.find((outcome) => outcome.status === 'rejected');
  if (failure) {
    dispatcher.destroy(new NbdError('ECONNRESET', 'another connection of the client failed'));
    throw failure.reason;
  }
  return new NbdClient(dispatcher, first.terms, wanted, options, server);
}
