import { EventEmitter, once } from 'node:events';
import {
  createServer as createNetServer,
  type AddressInfo,
  type ListenOptions,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { NbdError, type BlockDevice } from '@nbd/protocol';
import type { Log, Plugin } from '@nbd/plugin';
import { acceptSocket, joinStreams, type Attach, type TlsUpgrade } from '@nbd/transport';
import { Exports, pluginOf } from './session/exports.js';
import type { LesserServer } from './session/handshake.js';
import { DEFAULT_LIMITS, type SessionLimits } from './session/limits.js';
import { ServerSession } from './session/session.js';

export interface ServerLimits extends SessionLimits {
  /** Connections at once; further ones are closed as they come. 1 024 unless told otherwise. */
  readonly connections: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = { ...DEFAULT_LIMITS, connections: 1024 };

export type ServerOptions = ServerSource & {
  /** A name beside the empty one for the export of a plugin that has just one. */
  readonly exportName?: string;
  readonly readOnly?: boolean;
  /** `require` refuses whatever comes before TLS; `upgrade` is what `tlsServer` of `@nbd/transport` gives. */
  readonly tls?: { readonly require: boolean; readonly upgrade: TlsUpgrade };
  readonly limits?: Partial<ServerLimits>;
  readonly lesser?: LesserServer;
  readonly log?: Log;
  readonly twins?: Twins;
};

/** Other processes that serve the same, and that connections can be handed to. */
export interface Twins {
  /** Connections that they have. */
  readonly connections: number;
  /**
   * Takes over a connection that was accepted with `pauseOnConnect: true`, or leaves it.
   * @param own how many this process has
   * @returns whether it is taken
   */
  take(socket: Socket, own: number): boolean;
  /** Ends them, in the way of {@link NbdServer.close}. */
  close(): Promise<void>;
}

/** A plugin that is set up, or one device that every connection shares. The server closes it when it closes. */
export type ServerSource = { readonly plugin: Plugin } | { readonly device: BlockDevice };

interface ServerEvents {
  /** The first client came, or another one. */
  connection: [peer: string];
  /** A client left, and its device is closed. */
  disconnection: [peer: string];
}

/**
 * Serves a plugin or a device.
 *
 * ```ts
 * const server = createServer({ device });
 * await server.listen({ host: 'localhost', port: 10809 });
 * ```
 */
export function createServer(options: ServerOptions): NbdServer {
  return new NbdServer(options);
}

export class NbdServer extends EventEmitter<ServerEvents> {
  readonly #options: ServerOptions;
  readonly #plugin: Plugin;
  readonly #exports: Exports;
  readonly #limits: ServerLimits;
  readonly #listeners = new Set<NetServer>();
  readonly #sessions = new Set<ServerSession>();
  #closing: Promise<void> | undefined;
  /** There were as many connections as there may be, and the last ones to come were refused. */
  #isFull = false;

  constructor(options: ServerOptions) {
    super();
    this.#options = options;
    this.#limits = { ...DEFAULT_SERVER_LIMITS, ...options.limits };
    this.#plugin = 'plugin' in options ? options.plugin : pluginOf(options.device);
    const { exportName, readOnly } = options;
    this.#exports = new Exports(this.#plugin, {
      ...(exportName !== undefined && { exportName }),
      ...(readOnly !== undefined && { readOnly }),
    });
  }

  /** Connections at the moment, those of twins among them. */
  get connections(): number {
    return this.#sessions.size + (this.#options.twins?.connections ?? 0);
  }

  /**
   * Accepts connections on a TCP address, a Unix socket (`path`) or a socket that listens already (`fd`). May be
   * called for several.
   * @returns where it listens: an address with the port that was chosen, or the path; empty for a Unix socket that
   *   came as `fd`, which Node does not tell the path of
   */
  async listen(
    target: Pick<ListenOptions, 'host' | 'port' | 'path' | 'ipv6Only'> | { fd: number },
  ): Promise<AddressInfo | string> {
    const listener = createNetServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      this.accept(socket);
    });
    listener.listen(target);
    await once(listener, 'listening');
    // An error later on is one of accepting, as when file descriptors run out: the others go on.
    listener.on('error', (error) => {
      this.#log.warn(`a connection could not be accepted: ${error.message}`);
    });
    if (this.#closing) {
      listener.close();
      throw new NbdError('ESHUTDOWN', 'the server was closed while it began to listen');
    }
    this.#listeners.add(listener);
    return listener.address() ?? '';
  }

  /** Serves the client of a connection that was accepted elsewhere, with `pauseOnConnect: true`. */
  accept(socket: Socket): void {
    const { connections } = this.#limits;
    if (this.connections >= connections) {
      // Once, not for each: those who come in vain may be many.
      if (!this.#isFull) this.#log.warn(`connections are refused: ${connections} are open`);
      this.#isFull = true;
      socket.destroy();
      return;
    }
    this.#isFull = false;
    const { tls, twins } = this.#options;
    if (twins?.take(socket, this.#sessions.size) === true) return;
    const { remoteAddress, remotePort } = socket;
    const peer = remoteAddress === undefined ? 'unix' : `${remoteAddress}:${remotePort ?? 0}`;
    acceptSocket(socket, this.#attach(peer), tls ? { upgrade: tls.upgrade } : {});
  }

  /**
   * Serves one client over streams, such as standard input and output.
   * @returns a promise that settles when that client is gone
   */
  async serve(readable: Readable, writable: Writable): Promise<void> {
    await new Promise<void>((resolve) => {
      joinStreams(readable, writable, this.#attach('stdio', resolve));
    });
  }

  /**
   * Ends: no more connections, requests under way finish, disks are flushed, the plugin is closed. It may be called
   * more than once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const listenersClosed = [...this.#listeners].map((listener) => once(listener, 'close'));
    for (const listener of this.#listeners) listener.close();
    for (const session of this.#sessions) session.shutdown();
    const twinsClosed = this.#options.twins?.close();
    await Promise.all(listenersClosed);
    while (this.#sessions.size > 0) await once(this, 'disconnection');
    await twinsClosed;
    const timer = setTimeout(() => {
      this.#log.warn(`${this.#plugin.name} takes its time to close`);
    }, this.#limits.graceTime);
    try {
      await this.#plugin.close?.();
    } finally {
      clearTimeout(timer);
    }
  }

  get #log(): Log {
    return this.#options.log ?? { warn: () => undefined, info: () => undefined, debug: () => undefined };
  }

  #attach(peer: string, closed?: () => void): Attach {
    const { lesser, tls } = this.#options;
    return (transport) => {
      const session: ServerSession = new ServerSession(transport, {
        exports: this.#exports,
        limits: this.#limits,
        tls: tls ? (tls.require ? 'require' : 'on') : 'off',
        ...(lesser && { lesser }),
        log: this.#log,
        peer,
        closed: () => {
          this.#sessions.delete(session);
          this.emit('disconnection', peer);
          closed?.();
        },
      });
      this.#sessions.add(session);
      this.emit('connection', peer);
      if (this.#closing) session.shutdown();
      return session;
    };
  }
}
