import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { ByteTransport } from '@nbd/protocol';
import { WebSocket, WebSocketServer } from 'ws';
import { acceptSocket, connectSocket, joinStreams, type Attach, type TlsUpgrade } from '../src/index.js';
import { connectInMemory } from '../src/memory.js';
import { joinWebSocket } from '../src/websocket.js';
import { Recorder, type RecorderOptions } from './recorder.js';

/** Two recorders joined by a transport under test. */
export interface Pair {
  /** The side that connected, where there is a difference. */
  readonly left: Recorder;
  readonly right: Recorder;
  /** Lets go of the server that brought them together, which waits for the connections to be gone. */
  readonly close: () => Promise<void>;
}

export type MakePair = (options?: { left?: RecorderOptions; right?: RecorderOptions }) => Promise<Pair>;

export const overTcp: MakePair = (options) => overSocket({ host: '127.0.0.1', port: 0 }, options);

export const overUnixSocket: MakePair = async (options) => {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-transport-'));
  try {
    return await overSocket({ path: join(directory, 'socket') }, options);
  } finally {
    rmSync(directory, { recursive: true });
  }
};

/** As {@link overTcp}, with an accepted socket whose handle can't be taken over. */
export const overSocketEvents: MakePair = (options) =>
  overSocket({ host: '127.0.0.1', port: 0 }, options, { hideHandle: true });

export async function overSocket(
  address: { host: string; port: number } | { path: string },
  options: Parameters<MakePair>[0] = {},
  more: { hideHandle?: boolean; accept?: { upgrade?: TlsUpgrade }; connect?: { upgrade?: TlsUpgrade } } = {},
): Promise<Pair> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(address);
  await once(server, 'listening');
  const right = new Promise<Recorder>((resolve) => {
    server.once('connection', (socket) => {
      if (more.hideHandle === true) {
        // As on a Node whose handles can't receive into our buffers.
        const { _handle: handle } = socket as unknown as { _handle: object };
        Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
      }
      acceptSocket(socket, into(resolve, options.right), more.accept);
    });
  });
  const target = 'path' in address ? address : { ...address, port: (server.address() as AddressInfo).port };
  const left = new Promise<Recorder>((resolve) => {
    connectSocket(target, into(resolve, options.left), more.connect);
  });
  return {
    left: await left,
    right: await right,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

export const overStreams: MakePair = async (options = {}) => {
  const forth = new PassThrough();
  const back = new PassThrough();
  return {
    left: await attached((attach) => {
      joinStreams(back, forth, attach);
    }, options.left),
    right: await attached((attach) => {
      joinStreams(forth, back, attach);
    }, options.right),
    close: () => Promise.resolve(),
  };
};

export const inMemory: MakePair = async (options = {}) => {
  let right!: Recorder;
  const left = await attached((attach) => {
    connectInMemory(attach, (transport) => (right = new Recorder(transport, options.right)));
  }, options.left);
  return { left, right, close: () => Promise.resolve() };
};

export const overWebSocket: MakePair = async (options = {}) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[WebSocket]>;
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(socket, 'open');
  const [peer] = await accepted;
  return {
    left: await attached((attach) => {
      joinWebSocket(socket, attach);
    }, options.left),
    right: await attached((attach) => {
      joinWebSocket(peer, attach);
    }, options.right),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
};

function attached(join: (attach: Attach) => void, options: RecorderOptions | undefined): Promise<Recorder> {
  return new Promise((resolve) => {
    join(into(resolve, options));
  });
}

function into(resolve: (recorder: Recorder) => void, options: RecorderOptions | undefined): Attach {
  return (transport: ByteTransport) => {
    const recorder = new Recorder(transport, options);
    resolve(recorder);
    return recorder;
  };
}
