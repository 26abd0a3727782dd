import { Command, ReplyType, type ByteSink } from '@nbd/protocol';
import { expect, test } from 'vitest';
import { openDisk, type Dial, type NbdClient } from '../src/session/index.js';
import { answer } from './model-server.js';
import { scripted, type ScriptedServer } from './scripted-server.js';

/** A disk whose server answers only what the test makes it answer. */
async function openHeld(options: Parameters<typeof openDisk>[1] = {}): Promise<{
  disk: NbdClient;
  server: ScriptedServer;
}> {
  const { dial, servers } = scripted((server) => server.handshake({ size: 1n << 20n }));
  const disk = await openDisk(dial, options);
  return { disk, server: servers[0]! };
}

const model = new Uint8Array(1 << 20).fill(7);

test('a call that is aborted before it begins asks nothing', async () => {
  const { disk, server } = await openHeld();
  const reason = new Error('changed my mind');
  await expect(disk.read(0n, 1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const next = disk.read(5n, 1);
  expect((await server.request()).offset).toBe(5n);
  disk.destroy();
  await expect(next).rejects.toThrow();
});

test.each<[string, (disk: NbdClient, signal: AbortSignal) => Promise<unknown>]>([
  ['read', (disk, signal) => disk.read(0n, 100, { signal })],
  ['read into a buffer', (disk, signal) => disk.read(0n, new Uint8Array(100), { signal })],
  ['write that was sent', (disk, signal) => disk.write(0n, new Uint8Array(100), { signal })],
  ['trim', (disk, signal) => disk.trim!(0n, 100n, { signal })],
  ['zero', (disk, signal) => disk.zero!(0n, 100n, { signal })],
  ['flush', (disk, signal) => disk.flush!({ signal })],
  ['cache', (disk, signal) => disk.cache!(0n, 100n, { signal })],
  ['extents', (disk, signal) => disk.extents(0n, 512n, { add: () => true }, { signal })],
])('%s: it rejects at once, and the late answer does no harm', async (_name, call) => {
  const { disk, server } = await openHeld();
  const abort = new AbortController();
  const reason = new Error('changed my mind');
  const called = call(disk, abort.signal);
  const request = await server.request();
  abort.abort(reason);
  await expect(called).rejects.toBe(reason);
  answer(server, model.slice(), request);
  const next = disk.read(5n, 1);
  answer(server, model, await server.request());
  expect(await next).toEqual(Uint8Array.of(7));
  disk.destroy();
});

test('any number of calls may be under way with one signal, and all are aborted', async () => {
  const { disk, server } = await openHeld();
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  const abort = new AbortController();
  const reason = new Error('changed my mind');
  const calls = Array.from({ length: 20 }, (_, i) => disk.read(BigInt(i), 1, { signal: abort.signal }));
  const answered = Array.from({ length: 5 }, (_, i) => disk.read(BigInt(i), 1, { signal: abort.signal }));
  const outcomes = Promise.allSettled(calls);
  for (let i = 0; i < 20; i++) await server.request();
  for (let i = 0; i < 5; i++) answer(server, model, await server.request());
  await Promise.all(answered);
  abort.abort(reason);
  expect(await outcomes).toEqual(calls.map(() => ({ status: 'rejected', reason })));
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
  disk.destroy();
});

test('an aborted read leaves its buffer alone, though the answer comes', async () => {
  const { disk, server } = await openHeld();
  const abort = new AbortController();
  const into = new Uint8Array(100);
  const read = disk.read(0n, into, { signal: abort.signal });
  const request = await server.request();
  abort.abort();
  await expect(read).rejects.toMatchObject({ name: 'AbortError' });
  into.fill(1);
  answer(server, model, request);
  const next = disk.read(5n, 1);
  answer(server, model, await server.request());
  await next;
  expect(into.every((byte) => byte === 1)).toBe(true);
  disk.destroy();
});

/** As a socket does, asks for the next buffer right after each piece, and keeps it until something comes. */
function eagerly(dial: Dial): { dial: Dial; lent: () => Uint8Array } {
  let buffer: Uint8Array;
  return {
    lent: () => buffer,
    dial: (attach) =>
      dial((transport) => {
        const sink = attach(transport);
        buffer = sink.nextBuffer();
        const queue: Uint8Array[] = [];
        const eager: ByteSink = {
          nextBuffer: () => {
            const piece = new Uint8Array(4096);
            queue.push(piece);
            return piece;
          },
          received: (count) => {
            let bytes = queue.at(-1)!.subarray(0, count);
            queue.length = 0;
            while (bytes.length > 0) {
              const part = bytes.subarray(0, buffer.length);
              buffer.set(part);
              bytes = bytes.subarray(part.length);
              sink.received(part.length);
              buffer = sink.nextBuffer();
            }
            return true;
          },
          ended: (error) => {
            sink.ended(error);
          },
        };
        return eager;
      }),
  };
}

test('a read whose buffer is in the hands of the transport rejects once it is back', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: 1n << 20n }));
  const eager = eagerly(dial);
  const disk = await openDisk(eager.dial);
  const server = servers[0]!;
  const abort = new AbortController();
  const into = new Uint8Array(1000);
  const read = disk.read(0n, into, { signal: abort.signal });
  let settled = false;
  read.catch(() => undefined).finally(() => (settled = true));
  const request = await server.request();
  server.chunk(request, ReplyType.OFFSET_DATA, new Uint8Array(8 + 400).fill(0).fill(5, 8), 1, 1008);
  // Of the answer, 400 bytes have come: the transport has the rest of the buffer.
  while (eager.lent().buffer !== into.buffer) await new Promise(setImmediate);
  expect(eager.lent()).toHaveLength(600);
  abort.abort();
  await new Promise(setImmediate);
  expect(settled).toBe(false);
  server.send(new Uint8Array(1).fill(5));
  await expect(read).rejects.toMatchObject({ name: 'AbortError' });
  // The rest goes elsewhere.
  into.fill(1);
  server.send(new Uint8Array(599).fill(5));
  const next = disk.read(5n, 1);
  answer(server, model, await server.request());
  expect(await next).toEqual(Uint8Array.of(7));
  expect(into.every((byte) => byte === 1)).toBe(true);
  disk.destroy();
});

test('a read that takes too long rejects though its buffer is in the hands of the transport', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: 1n << 20n }));
  const eager = eagerly(dial);
  const disk = await openDisk(eager.dial);
  const into = new Uint8Array(1000);
  const read = disk.read(0n, into, { timeout: 30 });
  const server = servers[0]!;
  server.chunk(await server.request(), ReplyType.OFFSET_DATA, new Uint8Array(408), 1, 1008);
  await expect(read).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  // It had to give up the connection for that.
  await server.closed;
});

test('a write that waits to be sent rejects once its data is not needed any more', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: 1n << 20n }));
  const held: (() => void)[] = [];
  const disk = await openDisk((attach) =>
    dial((transport) => {
      const write = transport.write.bind(transport);
      transport.write = (chunks, released) => {
        write(chunks, (error) => {
          if (chunks.length < 2) released(error);
          else
            held.push(() => {
              released(error);
            });
        });
      };
      return attach(transport);
    }),
  );
  const abort = new AbortController();
  const write = disk.write(0n, new Uint8Array(100), { signal: abort.signal });
  let settled = false;
  write.catch(() => undefined).finally(() => (settled = true));
  await servers[0]!.request();
  abort.abort();
  await new Promise(setImmediate);
  expect(settled).toBe(false);
  held[0]!();
  await expect(write).rejects.toMatchObject({ name: 'AbortError' });
  disk.destroy();
});

test('a write that is answered before it was sent is not done before it was sent', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: 1n << 20n }));
  let release: (() => void) | undefined;
  const disk = await openDisk((attach) =>
    dial((transport) => {
      const write = transport.write.bind(transport);
      transport.write = (chunks, released) => {
        write(chunks, (error) => {
          if (chunks.length < 2) released(error);
          else
            release = () => {
              released(error);
            };
        });
      };
      return attach(transport);
    }),
  );
  const write = disk.write(0n, new Uint8Array(100));
  let settled = false;
  void write.then(() => (settled = true));
  const { cookie } = await servers[0]!.request();
  servers[0]!.simpleReply(cookie);
  await new Promise(setImmediate);
  expect(settled).toBe(false);
  release!();
  await write;
  disk.destroy();
});

test('what was not sent yet is not sent any more', async () => {
  const { disk, server } = await openHeld({ window: { requests: 1 } });
  const abort = new AbortController();
  const first = disk.read(0n, 1);
  const second = disk.read(1n, 1, { signal: abort.signal });
  const third = disk.read(2n, 1);
  abort.abort();
  await expect(second).rejects.toMatchObject({ name: 'AbortError' });
  answer(server, model, await server.request());
  await first;
  const request = await server.request();
  expect(request.offset).toBe(2n);
  answer(server, model, request);
  await third;
  disk.destroy();
});

test('of a long read, nothing more is asked for after it is aborted', async () => {
  const { disk, server } = await openHeld({ window: { requests: 2 } });
  const abort = new AbortController();
  const blockSize = disk.terms.blockSize.maximum;
  expect(blockSize).toBeGreaterThan(1 << 20);
  const read = disk.read(0n, 100, { signal: abort.signal });
  const request = await server.request();
  abort.abort();
  await expect(read).rejects.toThrow();
  const next = disk.flush!();
  expect((await server.request()).command).toBe(Command.FLUSH);
  answer(server, model, request);
  disk.destroy();
  await expect(next).rejects.toThrow();
});

test('a late answer to an aborted call is checked like any other', async () => {
  const { disk, server } = await openHeld();
  const abort = new AbortController();
  const read = disk.read(0n, 100, { signal: abort.signal });
  const request = await server.request();
  abort.abort();
  await expect(read).rejects.toThrow();
  server.data(request, 50n, new Uint8Array(51));
  await expect(disk.read(0n, 1)).rejects.toMatchObject({ code: 'EPROTO' });
});

test('an aborted call takes its room until the answer has come', async () => {
  const { disk, server } = await openHeld({ window: { requests: 1 } });
  const abort = new AbortController();
  const first = disk.read(0n, 100, { signal: abort.signal });
  const request = await server.request();
  abort.abort();
  await expect(first).rejects.toThrow();
  let asked = false;
  const second = disk.read(5n, 1);
  void server.request().then((request) => {
    asked = true;
    answer(server, model, request);
  });
  await new Promise(setImmediate);
  expect(asked).toBe(false);
  answer(server, model, request);
  await second;
  disk.destroy();
});

test('a time limit of the client is that of its calls, which may have their own', async () => {
  const { disk, server } = await openHeld({ timeout: 20 });
  const slow = disk.read(0n, 1, { timeout: 0 });
  await expect(disk.read(1n, 1)).rejects.toMatchObject({
    code: 'ETIMEDOUT',
    message: 'the read of 1 bytes at offset 1 took longer than 20 ms',
  });
  answer(server, model, await server.request());
  expect(await slow).toEqual(Uint8Array.of(7));
  disk.destroy();
});

test('connecting can be aborted', async () => {
  const { dial, servers } = scripted(() => Promise.resolve());
  const abort = new AbortController();
  const opening = openDisk(dial, { signal: abort.signal });
  abort.abort(new Error('changed my mind'));
  await expect(opening).rejects.toThrow('changed my mind');
  await servers[0]!.closed;
});
