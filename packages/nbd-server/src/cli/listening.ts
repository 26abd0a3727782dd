import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { formatUri, NbdError } from '@nbd/protocol';
import type { NbdServer } from '../server.js';
import type { Place } from './command-line.js';

/** Where a server was made to listen. */
export interface Listening {
  /** Not known for a Unix socket that was given without its path. */
  readonly uri?: string;
  /** The way that qemu once named NBD servers. */
  readonly nbd?: string;
  readonly port?: number;
  readonly socket?: string;
  /** Removes what was made on disk. */
  clean(): Promise<void>;
}

/** Descriptors of socket activation start here (sd_listen_fds(3)). */
const FIRST_FD = 3;

export async function listen(
  server: NbdServer,
  place: Exclude<Place, { kind: 'stdio' }>,
  uriParts: { readonly tls: boolean; readonly exportName: string },
): Promise<Listening> {
  switch (place.kind) {
    case 'tcp': {
      const port = await listenTcp(server, place);
      return tcpListening(hostOf(place.address), port, uriParts);
    }
    case 'unix': {
      const path = resolve(place.path);
      await removeStale(path);
      await server.listen({ path }).catch((error: unknown) => {
        throw cannotListen(path, error);
      });
      return unixListening(path, uriParts, () => Promise.resolve());
    }
    case 'private': {
      const directory = await mkdtemp(join(tmpdir(), 'nbd-serve-'));
      const path = join(directory, 'socket');
      await server.listen({ path });
      return unixListening(path, uriParts, () => rm(directory, { recursive: true, force: true }));
    }
    case 'activation': {
      const addresses = [];
      for (let i = 0; i < place.count; i++) addresses.push(await server.listen({ fd: FIRST_FD + i }));
      const [first] = addresses;
      if (typeof first === 'object') return tcpListening(first.address, first.port, uriParts);
      return { clean: () => Promise.resolve() };
    }
  }
}

/** @returns the port, which was chosen if 0 was asked for */
async function listenTcp(
  server: NbdServer,
  { port, address }: { port: number; address?: string },
): Promise<number> {
  const at = async (host: string, wanted: number) => {
    try {
      const bound = await server.listen({ host, port: wanted });
      return typeof bound === 'object' ? bound.port : wanted;
    } catch (error) {
      throw cannotListen(`${host} port ${wanted}`, error);
    }
  };
  if (address !== undefined) return at(address, port);
  const chosen = await at('127.0.0.1', port);
  try {
    await at('::1', chosen);
  } catch (error) {
    // Machines without IPv6 are common; one where somebody else has the port would confuse every client.
    if (error instanceof NbdError && error.code === 'EBUSY') throw error;
  }
  return chosen;
}

function cannotListen(where: string, error: unknown): NbdError {
  const code = (error as { code?: unknown }).code;
  if (code === 'EADDRINUSE')
    return new NbdError('EBUSY', `${where} is taken: another server runs there`, { cause: error });
  const why = error instanceof Error ? error.message : String(error);
  return new NbdError('EIO', `can't listen on ${where}: ${why}`, { cause: error });
}

/** A socket that a server has left behind is in the way of the next one; one that answers is not ours to take. */
async function removeStale(path: string): Promise<void> {
  const code = await new Promise<unknown>((settle) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      settle(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      settle(error.code);
    });
  });
  if (code === 'ECONNREFUSED') await rm(path, { force: true });
}

function hostOf(address: string | undefined): string {
  return address === undefined || address === '0.0.0.0' || address === '::' ? 'localhost' : address;
}

function tcpListening(
  host: string,
  port: number,
  { tls, exportName }: { tls: boolean; exportName: string },
): Listening {
  return {
    uri: formatUri({ transport: 'tcp', tls, host, port, exportName }),
    nbd: `nbd:${host.includes(':') ? `[${host}]` : host}:${port}${nbdExport(exportName)}`,
    port,
    clean: () => Promise.resolve(),
  };
}

function unixListening(
  socket: string,
  { tls, exportName }: { tls: boolean; exportName: string },
  clean: () => Promise<void>,
): Listening {
  return {
    uri: formatUri({ transport: 'unix', tls, socket, exportName }),
    nbd: `nbd:unix:${socket}${nbdExport(exportName)}`,
    socket,
    clean,
  };
}

function nbdExport(name: string): string {
  return name === '' ? '' : `:exportname=${name}`;
}
