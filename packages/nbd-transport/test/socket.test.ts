import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { acceptSocket, connectSocket } from '../src/index.js';
import { overSocketEvents, overTcp, overUnixSocket } from './pairs.js';
import { Recorder } from './recorder.js';

test('an accepted connection receives straight into the buffers that its session lends', async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const place = new Uint8Array(5);
  const arrived = new Promise<void>((resolve) => {
    server.once('connection', (socket) => {
      acceptSocket(socket, (transport) => ({
        nextBuffer: () => place,
        received: () => {
          transport.destroy();
          resolve();
          return true;
        },
        ended: () => undefined,
      }));
    });
  });
  const recorder = connected({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await recorder.send(Buffer.from('hello'));
  await arrived;
  expect(Buffer.from(place).toString()).toBe('hello');
  recorder.transport.destroy();
  server.close();
  // It is not kept open by the socket that was accepted first.
  await once(server, 'close');
});

test('a connection that is refused is told to the session', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const recorder = connected({ host: '127.0.0.1', port });
  expect(await recorder.end).toMatchObject({ code: 'ECONNREFUSED' });
});

test('localhost is found on whichever of its addresses the server listens', async () => {
  const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const recorder = connected({ host: 'localhost', port: (server.address() as AddressInfo).port });
  await recorder.end;
  expect(recorder.bytes().toString()).toBe('hello');
  recorder.transport.destroy();
  server.close();
});

test('what a session writes while it is made is sent', async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.once('connection', (socket) => {
    acceptSocket(socket, (transport) => {
      transport.write([Buffer.from('NBDMAGIC')], () => undefined);
      return new Recorder(transport);
    });
  });
  const recorder = connected({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await recorder.has(8);
  expect(recorder.bytes().toString()).toBe('NBDMAGIC');
  recorder.transport.destroy();
  server.close();
});

test('a session that does not read holds up its peer', async () => {
  let reading = false;
  const { left, right, close } = await overTcp({ right: { watch: () => reading } });
  // More than the kernel's buffers hold.
  const sent = left.send(new Uint8Array(64 << 20));
  await right.has(1);
  await new Promise(setImmediate);
  expect(left.transport.queuedBytes).toBe(64 << 20);
  reading = true;
  right.transport.resume();
  await right.has(64 << 20);
  await sent;
  left.transport.destroy();
  right.transport.destroy();
  await close();
});

test('ending the peer does not lose what it was sent, though it has sent more itself', async () => {
  // A close with bytes unread would reset the connection, and take the last words with it.
  const { left, right, close } = await overTcp();
  const sent = Promise.allSettled([left.send(new Uint8Array(1 << 20))]);
  const words = right.send(Buffer.from('last words'));
  right.transport.end();
  await words;
  await left.end;
  expect(left.bytes().toString()).toBe('last words');
  left.transport.end();
  await Promise.all([sent, right.end]);
  await close();
});

test.each([
  ['into its buffers', overTcp],
  ['by events', overSocketEvents],
])(
  'a session that ends while it receives %s, and wants no more, does not hold up its peer',
  async (_, over) => {
    const { left, right, close } = await over({
      right: {
        watch: (piece) => {
          if (Buffer.from(piece).toString() === 'the end') right.transport.end();
          return false;
        },
      },
    });
    await left.send(Buffer.from('a question'));
    await right.has(10);
    right.transport.resume();
    await left.send(Buffer.from('the end'));
    await left.end;
    // More than the kernel's buffers hold. Unread, it would be lost when the connection is closed.
    await left.send(new Uint8Array(64 << 20));
    left.transport.end();
    expect(await right.end).toBeUndefined();
    await close();
  },
);

function connected(target: { host: string; port: number }): Recorder {
  let recorder!: Recorder;
  connectSocket(target, (transport) => (recorder = new Recorder(transport)));
  return recorder;
}

// Linux gives a Unix socket 208 KiB by itself, and the peer takes one buffer of 64 KiB before it stops.
test.runIf(process.platform === 'linux')('a Unix socket takes a whole reply without its peer', async () => {
  const { left, right, close } = await overUnixSocket({ right: { watch: () => false } });
  await left.send(new Uint8Array(320 << 10));
  left.transport.destroy();
  right.transport.destroy();
  await close();
});
