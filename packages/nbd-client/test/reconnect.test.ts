import { Command, ReplyType } from '@nbd/protocol';
import { expect, test } from 'vitest';
import { openDisk, type DiskOptions } from '../src/session/index.js';
import { answer, serveModel } from './model-server.js';
import { scripted, type ScriptedServer, type Served } from './scripted-server.js';

const SIZE = 1 << 16;
const disk0 = Uint8Array.from({ length: SIZE }, (_, i) => i % 251);
const reconnect = { attempts: 3, delay: 1 };

/** Hears a request, and leaves it unanswered. */
async function hear(server: ScriptedServer): Promise<void> {
  await server.request();
}

/** The first connection does as told and is lost; those after it serve the disk. */
async function openLosing(
  first: (server: ScriptedServer) => Promise<void>,
  options: DiskOptions = { reconnect },
  later: Served = {},
) {
  const memory = disk0.slice();
  const { dial, servers } = scripted(async (server, connection) => {
    if (connection > 1) await serveModel(server, memory, later);
    else {
      await server.handshake({ size: BigInt(SIZE) });
      await first(server);
      server.end();
    }
  });
  return { client: await openDisk(dial, options), servers, memory };
}

test('it is off unless it is asked for', async () => {
  const { client, servers } = await openLosing(hear, {});
  await expect(client.read(0n, 1)).rejects.toMatchObject({ code: 'ECONNRESET' });
  await expect(client.read(0n, 1)).rejects.toMatchObject({ code: 'ECONNRESET' });
  expect(servers).toHaveLength(1);
});

test.each<[string, (client: Awaited<ReturnType<typeof openDisk>>) => Promise<unknown>]>([
  ['read', (client) => client.read(100n, 1000)],
  ['extents', (client) => client.extents(0n, 512n, { add: () => true })],
  ['cache', (client) => client.cache!(0n, 512n)],
])('a %s is repeated', async (_name, call) => {
  const { client, servers } = await openLosing(hear);
  await call(client);
  expect(servers).toHaveLength(2);
  await client.close();
});

test('a read of which a part had come is read anew, and right', async () => {
  const { client } = await openLosing(async (server) => {
    const request = await server.request();
    server.data(request, 0n, new Uint8Array(300).fill(0xee), 0);
    const hole = Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 9);
    server.chunk(request, ReplyType.OFFSET_HOLE, hole, 0);
  });
  const holes: bigint[] = [];
  const into = new Uint8Array(1000);
  await client.read(0n, into, { holes: { add: (offset) => holes.push(offset) } });
  expect(Buffer.compare(into, disk0.subarray(0, 1000))).toBe(0);
  // The hole was of the reply that did not count.
  expect(holes).toEqual([]);
  await client.close();
});

test.each<[string, (client: Awaited<ReturnType<typeof openDisk>>) => Promise<unknown>]>([
  ['write of 10 bytes at offset 512', (client) => client.write(512n, new Uint8Array(10))],
  ['zeroing of 10 bytes at offset 512', (client) => client.zero!(512n, 10n)],
  ['trim of 10 bytes at offset 512', (client) => client.trim!(512n, 10n)],
  ['flush', (client) => client.flush!()],
])('whether a %s was carried out is unknown, and said so', async (what, call) => {
  const { client, servers } = await openLosing(hear);
  await expect(call(client)).rejects.toMatchObject({
    code: 'ECONNRESET',
    message: `the server has closed the connection; whether the ${what} was carried out is unknown`,
  });
  expect(await client.read(0n, 3)).toEqual(disk0.slice(0, 3));
  expect(servers).toHaveLength(2);
  await client.close();
});

test('a write that was not sent yet is sent over the next connection', async () => {
  const { client, memory } = await openLosing(hear, {
    reconnect,
    window: { requests: 1 },
  });
  const [read, write] = [client.read(0n, 1), client.write(0n, Uint8Array.of(99))];
  expect(await read).toEqual(Uint8Array.of(0));
  await write;
  expect(memory[0]).toBe(99);
  await client.close();
});

test('calls made in between wait', async () => {
  const { client, servers } = await openLosing(async (server) => {
    answer(server, disk0, await server.request());
  });
  await client.read(0n, 1);
  await servers[0]!.closed;
  expect(await client.read(7n, 1)).toEqual(Uint8Array.of(7));
  await client.close();
});

test('writes that were answered and not flushed are in doubt, which the next flush says, once', async () => {
  const { client } = await openLosing(async (server) => {
    answer(server, disk0.slice(), await server.request());
    await server.request();
  });
  await client.write(0n, Uint8Array.of(1));
  await client.read(0n, 1);
  await expect(client.flush!()).rejects.toMatchObject({
    code: 'EIO',
    message: expect.stringContaining('1 writes that were not flushed') as string,
  });
  await client.flush!();
  await client.close();
});

test('writes that were flushed are not in doubt', async () => {
  const { client } = await openLosing(async (server) => {
    for (let i = 0; i < 2; i++) answer(server, disk0.slice(), await server.request());
    await server.request();
  });
  await client.write(0n, Uint8Array.of(1));
  await client.flush!();
  await client.read(0n, 1);
  await client.flush!();
  await client.close();
});

test.each<[string, Served, string]>([
  ['size', { size: 512n }, 'it has 512 bytes and had 65536'],
  ['flags', { flags: 1 }, 'its flags are 0x1'],
  [
    'block size',
    { blockSize: { minimum: 512, preferred: 512, maximum: 1 << 20 } },
    'its minimum block size is 512',
  ],
  ['meta contexts', { contexts: [] }, 'the meta context base:allocation'],
  ['form of replies', { structured: false, contexts: [] }, 'meta context'],
])('a disk of another %s is not the same disk', async (_name, later, message) => {
  const { client, servers } = await openLosing(hear, { reconnect }, later);
  await expect(client.read(0n, 1)).rejects.toMatchObject({
    code: 'ECONNRESET',
    message: expect.stringContaining(message) as string,
  });
  // One look is enough.
  expect(servers).toHaveLength(2);
});

test('a server that does not come back is given up after so many attempts', async () => {
  const { dial, servers } = scripted(async (server, connection) => {
    if (connection === 1) {
      await server.handshake();
      await server.request();
    }
    server.end();
  });
  const client = await openDisk(dial, { reconnect: { attempts: 4, delay: 1 } });
  const [first, second] = [client.read(0n, 1), client.read(1n, 1)];
  await expect(first).rejects.toMatchObject({
    code: 'ECONNRESET',
    message: expect.stringContaining('could not be established again') as string,
  });
  await expect(second).rejects.toMatchObject({ code: 'ECONNRESET' });
  expect(servers).toHaveLength(5);
  await client.close();
});

test('a server that breaks the rules is not asked again', async () => {
  const { client, servers } = await openLosing(async (server) => {
    server.simpleReply((await server.request()).cookie + 1n);
    await server.closed;
  });
  await expect(client.read(0n, 1)).rejects.toMatchObject({ code: 'EPROTO' });
  expect(servers).toHaveLength(1);
});

test('a call that is aborted or runs out of time in between does not come back', async () => {
  const { client, servers } = await openLosing(hear, {
    reconnect: { attempts: 2, delay: 1 },
  });
  const abort = new AbortController();
  const read = client.read(0n, 1, { signal: abort.signal });
  await servers[0]!.closed;
  abort.abort();
  await expect(read).rejects.toMatchObject({ name: 'AbortError' });
  await client.flush!();
  await client.close();
});

test('closing ends the attempts', async () => {
  const { dial } = scripted(async (server, connection) => {
    if (connection === 1) {
      await server.handshake();
      await server.request();
    }
    server.end();
  });
  const client = await openDisk(dial, { reconnect: { attempts: 1000, delay: 100_000 } });
  const read = client.read(0n, 1);
  const outcome = expect(read).rejects.toMatchObject({ code: 'ECONNRESET' });
  await client.close();
  await outcome;
});

test('a lost connection of several is replaced while the others work', async () => {
  const memory = disk0.slice();
  const { dial, servers } = scripted(async (server, connection) => {
    await server.handshake({ size: BigInt(SIZE) });
    for (let count = 0; ; count++) {
      const request = await server.request();
      if (request.command === Command.DISC) break;
      if (connection < 3 && count === 20) break;
      answer(server, memory, request);
    }
    server.end();
  });
  const client = await openDisk(dial, { connections: 2, reconnect });
  await Promise.all(
    Array.from({ length: 500 }, async (_, i) => {
      expect(await client.read(BigInt(i), 100)).toEqual(disk0.slice(i, i + 100));
    }),
  );
  expect(servers).toHaveLength(4);
  await client.close();
});
