import { Command, TransmissionFlag } from '@nbd/protocol';
import { expect, test } from 'vitest';
import { openDisk } from '../src/session/index.js';
import { answer, serveModel } from './model-server.js';
import { ALL_FLAGS, scripted, type ScriptedServer } from './scripted-server.js';

type Received = Awaited<ReturnType<ScriptedServer['request']>>;

/** Connections whose requests the test answers when it likes. */
async function openHeld(options: Parameters<typeof openDisk>[1]) {
  const { dial, servers } = scripted((server) => server.handshake());
  const disk = await openDisk(dial, options);
  return { disk, servers };
}

const memory = new Uint8Array(1 << 20);

test('several connections are used where the server allows it', async () => {
  const { dial, servers } = scripted((server) => serveModel(server, memory));
  const disk = await openDisk(dial, { connections: 4 });
  expect([disk.connections, servers.length]).toEqual([4, 4]);
  await disk.close();
});

test('one is used where it does not', async () => {
  const flags = ALL_FLAGS & ~TransmissionFlag.CAN_MULTI_CONN;
  const { dial, servers } = scripted((server) => serveModel(server, memory, { flags }));
  const disk = await openDisk(dial, { connections: 4 });
  expect([disk.connections, servers.length]).toEqual([1, 1]);
  await disk.close();
});

test('connections that do not lead to the same disk are refused', async () => {
  const { dial, servers } = scripted((server, connection) =>
    server.handshake({ size: connection > 2 ? 512n : 1024n }),
  );
  await expect(openDisk(dial, { connections: 3 })).rejects.toMatchObject({
    code: 'ENODEV',
    message: expect.stringContaining('512 bytes and had 1024') as string,
  });
  await Promise.all(servers.map(({ closed }) => closed));
});

test('calls go where the least is under way', async () => {
  const { disk, servers } = await openHeld({ connections: 2 });
  const reads = [disk.read(0n, 4096), disk.read(0n, 10), disk.read(0n, 10)];
  expect((await servers[0]!.request()).length).toBe(4096n);
  const small: Received[] = [await servers[1]!.request(), await servers[1]!.request()];
  expect(small.map(({ length }) => length)).toEqual([10n, 10n]);
  disk.destroy();
  await Promise.allSettled(reads);
});

test('a flush waits for the writes of all connections, and for no later ones', async () => {
  const { disk, servers } = await openHeld({ connections: 2 });
  const writes = [disk.write(0n, new Uint8Array(10)), disk.write(10n, new Uint8Array(10))];
  const [first, second] = [await servers[0]!.request(), await servers[1]!.request()];
  let flushed = false;
  const flush = disk.flush!().then(() => (flushed = true));
  const later = disk.write(20n, new Uint8Array(10));
  const third = await servers[0]!.request();
  expect([first.command, second.command, third.command]).toEqual([
    Command.WRITE,
    Command.WRITE,
    Command.WRITE,
  ]);
  answer(servers[0]!, memory, first);
  await writes[0];
  const requested = servers[1]!.request();
  answer(servers[1]!, memory, second);
  expect((await requested).command).toBe(Command.FLUSH);
  expect(flushed).toBe(false);
  answer(servers[1]!, memory, await requested);
  await flush;
  answer(servers[0]!, memory, third);
  await later;
  disk.destroy();
});

test('a flush goes on when a write before it has failed', async () => {
  const { disk, servers } = await openHeld({});
  const write = disk.write(0n, new Uint8Array(10));
  const flush = disk.flush!();
  servers[0]!.error(await servers[0]!.request(), 5);
  await expect(write).rejects.toMatchObject({ code: 'EIO' });
  answer(servers[0]!, memory, await servers[0]!.request());
  await flush;
  disk.destroy();
});

test('the window limits the bytes that are under way, and goes on when there is room', async () => {
  const { disk, servers } = await openHeld({ window: { bytes: 1000 } });
  const server = servers[0]!;
  const reads = [disk.read(0n, 600), disk.read(0n, 600), disk.read(0n, 10)];
  const first = await server.request();
  let asked = 0;
  const rest = server.request().then(async (request) => {
    asked++;
    answer(server, memory, request);
    answer(server, memory, await server.request());
  });
  // No byte is carried by these.
  await new Promise(setImmediate);
  expect(asked).toBe(0);
  answer(server, memory, first);
  await rest;
  await Promise.all(reads);
  disk.destroy();
});

test('requests without data are limited by their number only', async () => {
  const { disk, servers } = await openHeld({ window: { bytes: 1, requests: 3 } });
  const server = servers[0]!;
  const trims = Array.from({ length: 5 }, (_, i) => disk.trim!(BigInt(i), 4096n));
  const requests = [await server.request(), await server.request(), await server.request()];
  let asked = 0;
  void server.request().then(() => asked++);
  await new Promise(setImmediate);
  expect(asked).toBe(0);
  answer(server, memory, requests[0]!);
  await trims[0];
  await new Promise(setImmediate);
  expect(asked).toBe(1);
  disk.destroy();
  await Promise.allSettled(trims);
});

test('a request larger than the window is made alone', async () => {
  const { dial } = scripted((server) => serveModel(server, memory));
  const disk = await openDisk(dial, { window: { bytes: 10 } });
  expect(await disk.read(0n, 5000)).toHaveLength(5000);
  await disk.close();
});

test('a connection that is lost fails its own calls, and the others go on', async () => {
  const { disk, servers } = await openHeld({ connections: 2 });
  const [lost, kept] = [disk.read(0n, 10), disk.read(0n, 10)];
  await servers[0]!.request();
  servers[0]!.end();
  await expect(lost).rejects.toMatchObject({ code: 'ECONNRESET' });
  answer(servers[1]!, memory, await servers[1]!.request());
  await kept;
  const next = disk.read(0n, 10);
  answer(servers[1]!, memory, await servers[1]!.request());
  await next;
  disk.destroy();
});
