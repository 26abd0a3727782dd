import { Command, CommandFlag, TransmissionFlag, type ExtentSink } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openDisk, type DiskOptions, type NbdClient } from '../src/session/index.js';
import { serveModel, type ModelOptions } from './model-server.js';
import { ALL_FLAGS, scripted, type ScriptedServer } from './scripted-server.js';

type Received = Awaited<ReturnType<ScriptedServer['request']>>;

async function openModel(
  disk: Uint8Array,
  served: ModelOptions = {},
  options: DiskOptions = {},
): Promise<{ client: NbdClient; requests: Received[]; close: () => Promise<void> }> {
  const requests: Received[] = [];
  const { dial, failures } = scripted((server) => serveModel(server, disk, served, requests));
  const client = await openDisk(dial, options);
  return {
    client,
    requests,
    async close() {
      await client.close();
      expect(failures).toEqual([]);
    },
  };
}

const SIZE = 1 << 16;

const FORMS: readonly [string, ModelOptions][] = [
  ['simple replies', { structured: false }],
  ['structured replies', {}],
  ['structured replies in pieces', { piece: 1000 }],
  ['extended headers', { extended: true }],
  ['extended headers in pieces', { extended: true, piece: 700 }],
];

describe.each(FORMS)('with %s', (_name, served) => {
  test.each([1, 4])('random calls over %d connections do what they say', async (connections) => {
    await fc.assert(
      fc.asyncProperty(fc.array(calls, { minLength: 1, maxLength: 30 }), windows, async (list, window) => {
        const disk = new Uint8Array(SIZE);
        const model = new Uint8Array(SIZE);
        const { client, close } = await openModel(disk, served, { connections, window });
        for (const { command, offset, length, byte } of list) {
          const range = [BigInt(offset), BigInt(length)] as const;
          if (command === 'read') {
            expectSame(await client.read(range[0], length), model.subarray(offset, offset + length));
          } else if (command === 'read into') {
            const into = new Uint8Array(length + 2).fill(0xee);
            await client.read(range[0], into.subarray(1, 1 + length));
            expectSame(into.subarray(1, 1 + length), model.subarray(offset, offset + length));
            expect([into[0], into.at(-1)]).toEqual([0xee, 0xee]);
          } else if (command === 'write') {
            model.fill(byte, offset, offset + length);
            await client.write(range[0], new Uint8Array(length).fill(byte));
          } else {
            model.fill(0, offset, offset + length);
            await client.zero!(...range);
          }
        }
        expectSame(disk, model);
        await close();
      }),
      { numRuns: 40 },
    );
  });

  test('calls at once are all answered, each with its own', async () => {
    const disk = Uint8Array.from({ length: SIZE }, (_, i) => i * 7 + (i >> 8));
    const { client, close } = await openModel(disk, served, { connections: 3 });
    const reads = Array.from({ length: 500 }, (_, i) => client.read(BigInt((i * 131) % SIZE), 1 + (i % 64)));
    for (const [i, bytes] of (await Promise.all(reads)).entries()) {
      const at = (i * 131) % SIZE;
      expect(bytes).toEqual(disk.slice(at, at + 1 + (i % 64)));
    }
    await close();
  });
});

describe('a call of any length', () => {
  test('is split by the maximum of the server', async () => {
    const disk = new Uint8Array(SIZE);
    const blockSize = { minimum: 1, preferred: 512, maximum: 1000 };
    const { client, requests, close } = await openModel(disk, { blockSize });
    await client.write(10n, new Uint8Array(2500).fill(9));
    expectSame(await client.read(9n, 2502), disk.subarray(9, 2511));
    expect(requests.map(({ command, offset, length }) => [command, offset, length])).toEqual([
      [Command.WRITE, 10n, 1000n],
      [Command.WRITE, 1010n, 1000n],
      [Command.WRITE, 2010n, 500n],
      [Command.READ, 9n, 1000n],
      [Command.READ, 1009n, 1000n],
      [Command.READ, 2009n, 502n],
    ]);
    await close();
  });

  test('of no length asks nothing', async () => {
    const { client, requests, close } = await openModel(new Uint8Array(SIZE));
    expect(await client.read(5n, 0)).toEqual(new Uint8Array(0));
    await client.write(5n, new Uint8Array(0));
    await client.zero!(5n, 0n);
    expect(requests).toEqual([]);
    await close();
  });

  test('outside the disk is refused, and asks nothing', async () => {
    const { client, requests, close } = await openModel(new Uint8Array(SIZE));
    const wrong = { code: 'EINVAL' };
    await expect(client.read(BigInt(SIZE) - 1n, 2)).rejects.toMatchObject(wrong);
    await expect(client.read(-1n, 1)).rejects.toMatchObject(wrong);
    await expect(client.read(0n, -1)).rejects.toMatchObject(wrong);
    await expect(client.read(0n, 0.5)).rejects.toMatchObject(wrong);
    await expect(client.read(0n, 2 ** 52)).rejects.toMatchObject(wrong);
    await expect(client.write(BigInt(SIZE), Uint8Array.of(1))).rejects.toMatchObject(wrong);
    await expect(client.trim!(0n, BigInt(SIZE) + 1n)).rejects.toMatchObject(wrong);
    await expect(client.extents(0n, BigInt(SIZE) + 1n, { add: () => true })).rejects.toMatchObject(wrong);
    expect(requests).toEqual([]);
    await close();
  });

  test('may read within a block, and write whole blocks only', async () => {
    const disk = Uint8Array.from({ length: SIZE }, (_, i) => i >> 3);
    const blockSize = { minimum: 512, preferred: 4096, maximum: 8192 };
    const { client, requests, close } = await openModel(disk, { blockSize });
    expectSame(await client.read(700n, 20_000), disk.subarray(700, 20_700));
    await client.write(512n, new Uint8Array(512));
    await expect(client.write(513n, new Uint8Array(512))).rejects.toThrow(/not whole blocks.*512 bytes/);
    await expect(client.zero!(0n, 100n)).rejects.toMatchObject({ code: 'EINVAL' });
    expect(requests.every(({ offset, length }) => offset % 512n === 0n && length % 512n === 0n)).toBe(true);
    await close();
  });

  test('zeroes more than 2^32 bytes in steps that compact headers have room for', async () => {
    const { dial, failures } = scripted(async (server) => {
      await server.handshake({ size: 1n << 62n });
      for (let at = 0n; at < 5n << 30n;) {
        const { offset, length, cookie } = await server.request();
        expect(offset).toBe(at);
        at += length;
        server.simpleReply(cookie);
      }
      expect((await server.request()).command).toBe(Command.DISC);
      server.end();
    });
    const disk = await openDisk(dial);
    await disk.zero!(0n, 5n << 30n);
    await disk.close();
    expect(failures).toEqual([]);
  });

  test('zeroes 7 EiB in one request with extended headers', async () => {
    const { dial, failures } = scripted(async (server) => {
      await server.handshake({ size: 7n << 60n, extended: true });
      const request = await server.request();
      expect(request.length).toBe(1n << 62n);
      server.chunk(request, 0);
      const rest = await server.request();
      expect(rest.length).toBe(3n << 60n);
      server.chunk(rest, 0);
      await server.request();
      server.end();
    });
    const disk = await openDisk(dial);
    await disk.zero!(0n, 7n << 60n);
    await disk.close();
    expect(failures).toEqual([]);
  });
});

describe('flags', () => {
  const flagsOf = async (call: (disk: NbdClient) => Promise<unknown>, flags = ALL_FLAGS) => {
    const { client, requests, close } = await openModel(new Uint8Array(SIZE), { flags });
    await call(client);
    await close();
    return requests.slice(0, -1).map(({ command, flags }) => [command, flags]);
  };

  test.each<[string, (disk: NbdClient) => Promise<unknown>, [number, number][]]>([
    ['read', (disk) => disk.read(0n, 1), [[Command.READ, 0]]],
    ['read', (disk) => disk.read(0n, 1, { dontFragment: true }), [[Command.READ, CommandFlag.DF]]],
    ['write', (disk) => disk.write(0n, Uint8Array.of(1)), [[Command.WRITE, 0]]],
    ['write', (disk) => disk.write(0n, Uint8Array.of(1), { fua: true }), [[Command.WRITE, CommandFlag.FUA]]],
    ['zero', (disk) => disk.zero!(0n, 1n), [[Command.WRITE_ZEROES, 0]]],
    [
      'zero',
      (disk) => disk.zero!(0n, 1n, { fua: true, noHole: true, fastZero: true }),
      [[Command.WRITE_ZEROES, CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO]],
    ],
    ['trim', (disk) => disk.trim!(0n, 1n, { fua: true }), [[Command.TRIM, CommandFlag.FUA]]],
    ['cache', (disk) => disk.cache!(0n, 1n), [[Command.CACHE, 0]]],
    ['flush', (disk) => disk.flush!(), [[Command.FLUSH, 0]]],
  ])('of %s', async (_name, call, expected) => {
    expect(await flagsOf(call)).toEqual(expected);
  });

  test('FUA is a flush where the server does not have it', async () => {
    expect(
      await flagsOf(
        (disk) => disk.write(0n, Uint8Array.of(1), { fua: true }),
        ALL_FLAGS & ~TransmissionFlag.SEND_FUA,
      ),
    ).toEqual([
      [Command.WRITE, 0],
      [Command.FLUSH, 0],
    ]);
  });

  test('a server without FUA and flush can not promise that anything is stored', async () => {
    const { client, close } = await openModel(new Uint8Array(SIZE), { flags: TransmissionFlag.HAS_FLAGS });
    await expect(client.write(0n, Uint8Array.of(1), { fua: true })).rejects.toMatchObject({
      code: 'ENOTSUP',
    });
    await close();
  });

  test('what the server can not do is not there', async () => {
    const { client, close } = await openModel(new Uint8Array(SIZE), { flags: TransmissionFlag.HAS_FLAGS });
    expect([client.zero, client.trim, client.cache, client.flush]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    await close();
  });

  test('a read-only disk is not written', async () => {
    const { client, requests, close } = await openModel(new Uint8Array(SIZE), {
      flags: ALL_FLAGS | TransmissionFlag.READ_ONLY,
    });
    await expect(client.write(0n, Uint8Array.of(1))).rejects.toMatchObject({ code: 'EPERM' });
    expect([client.zero, client.trim, client.info.readOnly]).toEqual([undefined, undefined, true]);
    expect(requests).toEqual([]);
    await close();
  });

  test('of a server that sends none mean nothing', async () => {
    const { client, close } = await openModel(new Uint8Array(SIZE), {
      flags: ALL_FLAGS & ~TransmissionFlag.HAS_FLAGS,
    });
    expect(client.can.trim).toBe(false);
    await close();
  });
});

test('an error of the server is one with its code, its words and its place', async () => {
  const { dial } = scripted(async (server) => {
    await server.handshake();
    server.error(await server.request(), 28, 'the pool is full');
    server.simpleReply((await server.request()).cookie, 5);
    server.error(await server.request(), 12345);
  });
  const disk = await openDisk(dial);
  await expect(disk.write(4096n, Uint8Array.of(1))).rejects.toMatchObject({
    code: 'ENOSPC',
    offset: 4096n,
    message: 'the write of 1 bytes at offset 4096 failed: ENOSPC from the server ("the pool is full")',
  });
  await expect(disk.flush!()).rejects.toMatchObject({
    code: 'EIO',
    message: 'the flush failed: EIO from the server',
  });
  await expect(disk.read(0n, 1)).rejects.toMatchObject({ code: 'EINVAL' });
  disk.destroy();
});

test('holes in what is read are told, and filled with zeroes', async () => {
  const disk = new Uint8Array(SIZE);
  disk.fill(1, 0, 1000);
  const { client, close } = await openModel(disk, { piece: 1000 });
  const holes: [bigint, bigint][] = [];
  const into = new Uint8Array(3000).fill(7);
  await client.read(0n, into, { holes: { add: (offset, length) => holes.push([offset, length]) } });
  expect(into).toEqual(disk.slice(0, 3000));
  expect(holes.sort()).toEqual([
    [1000n, 1000n],
    [2000n, 1000n],
  ]);
  await close();
});

test("an error of the user's own sink is that call's error", async () => {
  const { client, close } = await openModel(new Uint8Array(SIZE));
  const sink: ExtentSink = {
    add: () => {
      throw new RangeError('enough of that');
    },
  };
  await expect(client.extents(0n, 512n, sink)).rejects.toThrow('enough of that');
  expect(await client.read(0n, 1)).toEqual(new Uint8Array(1));
  await close();
});

test('requests of one turn are written together', async () => {
  let writes = 0;
  const { dial } = scripted((server) => serveModel(server, new Uint8Array(SIZE)));
  const disk = await openDisk((attach) =>
    dial((transport) => {
      const write = transport.write.bind(transport);
      transport.write = (chunks, released) => {
        writes++;
        write(chunks, released);
      };
      return attach(transport);
    }),
  );
  writes = 0;
  await Promise.all(Array.from({ length: 100 }, (_, i) => disk.read(BigInt(i), 1)));
  expect(writes).toBe(1);
  await disk.close();
});

test('closing waits for what is under way, and says goodbye', async () => {
  const { client, requests } = await openModel(new Uint8Array(SIZE));
  const read = client.read(0n, 100);
  const closed = client.close();
  await expect(client.read(0n, 1)).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  expect(await read).toHaveLength(100);
  await closed;
  expect(requests.map(({ command }) => command)).toEqual([Command.READ, Command.DISC]);
  await client.close();
});

test('destroying ends what is under way at once', async () => {
  const { dial, servers } = scripted((server) => server.handshake());
  const disk = await openDisk(dial, { connections: 3 });
  const read = disk.read(0n, 100);
  disk.destroy();
  await expect(read).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  await Promise.all(servers.map((server) => server.closed));
  await disk.close();
});

test('a disk is closed with its scope', async () => {
  const { client, requests } = await openModel(new Uint8Array(SIZE));
  {
    await using disk = client;
    await disk.read(0n, 1);
  }
  expect(requests.at(-1)?.command).toBe(Command.DISC);
});

test('a server that shuts down is left in peace', async () => {
  const { dial, failures, servers } = scripted(async (server) => {
    await server.handshake();
    const [first, second] = [await server.request(), await server.request()];
    server.error(first, 108);
    server.data(second, 8n, new Uint8Array(1));
    expect((await server.request()).command).toBe(Command.DISC);
    server.end();
  });
  const disk = await openDisk(dial);
  const [first, second] = [disk.read(0n, 1), disk.read(8n, 1)];
  await expect(first).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  expect(await second).toHaveLength(1);
  await servers[0]!.closed;
  await expect(disk.read(0n, 1)).rejects.toMatchObject({ code: 'ECONNRESET' });
  expect(failures).toEqual([]);
  await disk.close();
});

/** `toEqual` takes its time with many bytes. */
function expectSame(found: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(found, expected)).toBe(0);
}

const calls = fc
  .record({
    command: fc.constantFrom('read', 'read into', 'write', 'zero'),
    offset: fc.integer({ min: 0, max: SIZE - 1 }),
    length: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: SIZE })),
    byte: fc.integer({ min: 0, max: 255 }),
  })
  .map((call) => ({ ...call, length: Math.min(call.length, SIZE - call.offset) }));

const windows = fc.record({
  bytes: fc.integer({ min: 1, max: 2 * SIZE }),
  requests: fc.integer({ min: 1, max: 10 }),
});
