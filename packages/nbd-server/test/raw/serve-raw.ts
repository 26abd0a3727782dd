import type { BlockDevice, ByteTransport } from '@nbd/protocol';
import type { Log, Plugin } from '@nbd/plugin';
import type { Attach } from '@nbd/transport';
import { connectInMemory } from '@nbd/transport/memory';
import { Exports, pluginOf, ServerSession, type SessionOptions } from '../../src/session/index.js';
import { RawClient } from './raw-client.js';

export interface Served {
  readonly client: RawClient;
  readonly session: ServerSession;
  /** The server's end of the connection. */
  readonly transport: ByteTransport;
  /** What was logged. */
  readonly log: string[];
  /** Settles when the session is over and the device is closed. */
  readonly closed: Promise<void>;
}

/** A session with a device or a plugin, and a raw client at its other end. */
export function serveRaw(
  source: BlockDevice | Plugin,
  options: Partial<SessionOptions> & {
    exportName?: string;
    readOnly?: boolean;
    /** Joins the two; `connectInMemory` unless told otherwise. */
    connect?: (server: Attach, client: Attach) => void;
  } = {},
): Served {
  const plugin = 'open' in source ? source : pluginOf(source);
  const { exportName = '', readOnly = false, connect = connectInMemory, ...sessionOptions } = options;
  const log: string[] = [];
  const note = (message: string) => {
    log.push(message);
  };
  const silent: Log = { warn: note, info: note, debug: () => undefined };
  let closed!: () => void;
  const over = new Promise<void>((resolve) => (closed = resolve));
  let session!: ServerSession;
  let transport!: ByteTransport;
  let client!: RawClient;
  connect(
    (joined) => {
      transport = joined;
      session = new ServerSession(transport, {
        exports: new Exports(plugin, { exportName, readOnly }),
        log: silent,
        closed,
        ...sessionOptions,
      });
      return session;
    },
    (joined) => (client = new RawClient(joined)),
  );
  return { client, session, transport, log, closed: over };
}

/** A disk in memory that can do everything at once. */
export function memoryDisk(size: number): BlockDevice & { readonly bytes: Uint8Array } {
  const bytes = new Uint8Array(size);
  return {
    bytes,
    size: BigInt(size),
    info: { multiConn: true, fua: true, fastZero: true },
    read(offset, into) {
      into.set(bytes.subarray(Number(offset), Number(offset) + into.length));
    },
    write(offset, from) {
      bytes.set(from, Number(offset));
    },
    zero(offset, length) {
      bytes.fill(0, Number(offset), Number(offset + length));
    },
    trim() {},
    cache() {},
    flush() {},
  };
}

/** Lets everything happen that is due, `count` times over. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
