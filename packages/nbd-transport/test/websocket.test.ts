import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { joinWebSocket, type WebSocketLike } from '../src/websocket.js';
import { Recorder } from './recorder.js';

test('a message that is text ends the connection: NBD is binary', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  server.once('connection', (peer) => {
    peer.send('hello');
  });
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  let recorder!: Recorder;
  joinWebSocket(socket, (transport) => (recorder = new Recorder(transport)));
  expect(await recorder.end).toMatchObject({ message: expect.stringContaining('text') as string });
  server.close();
});

test("a write counts as sent once the browser's buffer has room, which it has no event for", async () => {
  const socket = new BrowserSocket();
  let recorder!: Recorder;
  joinWebSocket(socket, (transport) => (recorder = new Recorder(transport)));
  socket.bufferedAmount = 5 << 20;
  let released = false;
  const sent = recorder.send(Buffer.from('hello')).then(() => (released = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(released).toBe(false);
  expect(recorder.transport.queuedBytes).toBe(5);
  socket.bufferedAmount = 0;
  await sent;
  expect(recorder.transport.queuedBytes).toBe(0);
});

test('what a browser can not stop from coming is kept until it is wanted', async () => {
  const socket = new BrowserSocket();
  let recorder!: Recorder;
  joinWebSocket(socket, (transport) => {
    recorder = new Recorder(transport, { buffers: [2], pauseEvery: 1 });
    return recorder;
  });
  socket.deliver('hello, ');
  socket.deliver('world');
  await recorder.has(12);
  expect(recorder.bytes().toString()).toBe('hello, world');
  expect(recorder.violations).toEqual([]);
});

test('what comes without end and is not wanted ends the connection', async () => {
  const socket = new BrowserSocket();
  let recorder!: Recorder;
  joinWebSocket(socket, (transport) => {
    recorder = new Recorder(transport, { buffers: [1], watch: () => false });
    return recorder;
  });
  for (let mebibytes = 0; mebibytes <= 256; mebibytes += 64) socket.deliver(new ArrayBuffer(64 << 20));
  expect(await recorder.end).toMatchObject({ message: expect.stringContaining('faster') as string });
  expect(recorder.bytes()).toHaveLength(1);
});

/** As a browser's: it can't be paused, and tells how much it has not sent yet. */
class BrowserSocket implements WebSocketLike {
  binaryType = 'blob';
  bufferedAmount = 0;
  readonly #listeners = new Map<string, (event: { data: unknown }) => void>();

  send(): void {
    // The test sets bufferedAmount itself.
  }

  close(): void {
    this.#listeners.get('close')?.({ data: undefined });
  }

  addEventListener(type: string, listener: (event: { data: unknown }) => void): void {
    this.#listeners.set(type, listener);
  }

  deliver(message: string | ArrayBuffer): void {
    expect(this.binaryType).toBe('arraybuffer');
    const data = typeof message === 'string' ? new Uint8Array(Buffer.from(message)).buffer : message;
    this.#listeners.get('message')!({ data });
  }
}
