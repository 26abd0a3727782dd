import {
  decodeBlockStatusPayload,
  encodeExtendedBlockStatusHeader,
  encodeExtendedExtent,
  ReplyType,
  TransmissionFlag,
} from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openDisk, type Extent } from '../src/session/index.js';
import { EXTENT_UNIT, extentsOf, serveModel, type ModelOptions } from './model-server.js';
import { ALL_FLAGS, scripted, type ScriptedServer } from './scripted-server.js';

const UNITS = 200;

const disks = fc.array(fc.boolean(), { minLength: UNITS, maxLength: UNITS }).map((used) => {
  const disk = new Uint8Array(UNITS * EXTENT_UNIT);
  for (const [unit, isUsed] of used.entries()) if (isUsed) disk[unit * EXTENT_UNIT] = 1;
  return disk;
});

async function collect(extents: AsyncIterable<Extent>): Promise<Extent[]> {
  const list: Extent[] = [];
  for await (const extent of extents) list.push(extent);
  return list;
}

describe.each<[string, ModelOptions]>([
  ['compact headers', {}],
  ['extended headers', { extended: true }],
])('with %s', (_name, served) => {
  test('an iteration gives every extent once, in order, however little a reply tells', async () => {
    await fc.assert(
      fc.asyncProperty(
        disks,
        fc.integer({ min: 1, max: 7 }),
        fc.nat(UNITS * EXTENT_UNIT),
        fc.nat(UNITS * EXTENT_UNIT),
        async (disk, extentsPerReply, a, b) => {
          const { dial, failures } = scripted((server) =>
            serveModel(server, disk, { ...served, extentsPerReply }),
          );
          const client = await openDisk(dial);
          const [start, end] = a < b ? [a, b] : [b, a];
          const found = await collect(client.extents({ offset: BigInt(start), length: BigInt(end - start) }));
          let offset = start;
          const expected = extentsOf(disk, start, end).map(({ length, flags }) => {
            const extent = {
              offset: BigInt(offset),
              length: BigInt(length),
              flags,
              hole: flags === 3,
              zero: flags === 3,
            };
            offset += length;
            return extent;
          });
          expect(found).toEqual(expected);
          await client.close();
          expect(failures).toEqual([]);
        },
      ),
      { numRuns: 20 },
    );
  });
});

test('a server that tells of no meta context has data all over', async () => {
  const { dial } = scripted((server) => serveModel(server, new Uint8Array(5000), { contexts: [] }));
  const client = await openDisk(dial);
  expect(await collect(client.extents())).toEqual([
    { offset: 0n, length: 5000n, flags: 0, hole: false, zero: false },
  ]);
  await client.close();
});

test('an empty disk has no extents', async () => {
  const { dial } = scripted((server) => serveModel(server, new Uint8Array(0)));
  const client = await openDisk(dial);
  expect(await collect(client.extents())).toEqual([]);
  await client.close();
});

test('a call with a sink tells what one request brings, cut at the end of the disk', async () => {
  const disk = new Uint8Array(4 * EXTENT_UNIT).fill(1, EXTENT_UNIT, 2 * EXTENT_UNIT);
  const { dial } = scripted((server) => serveModel(server, disk));
  const client = await openDisk(dial);
  const told: [bigint, number][] = [];
  await client.extents(0n, 2048n, { add: (length, flags) => told.push([length, flags]) < 2 });
  expect(told).toEqual([
    [512n, 3],
    [512n, 0],
  ]);
  await client.close();
});

test('of several meta contexts only the one in question is asked for, where the server can do that', async () => {
  const { dial, failures } = scripted(async (server) => {
    await server.handshake({
      extended: true,
      contexts: ['base:allocation', 'x:y'],
      flags: ALL_FLAGS | TransmissionFlag.BLOCK_STATUS_PAYLOAD,
    });
    const request = await server.request();
    const asked = decodeBlockStatusPayload(await server.receive(Number(request.length)));
    expect(asked).toEqual({ length: 2048n, contextIds: [8] });
    const payload = new Uint8Array(24);
    encodeExtendedBlockStatusHeader(payload, 0, 8, 1);
    encodeExtendedExtent(payload, 8, 2048n, 5n);
    server.chunk(request, ReplyType.BLOCK_STATUS_EXT, payload);
  });
  const client = await openDisk(dial, { contexts: ['base:allocation', 'x:y'] });
  const told: [bigint, number][] = [];
  const sink = { add: (length: bigint, flags: number) => told.push([length, flags]) > 0 };
  await client.extents(0n, 2048n, sink, { context: 'x:y' });
  expect(told).toEqual([[2048n, 5]]);
  expect(failures).toEqual([]);
  client.destroy();
});

test('an iteration over whole blocks only, where the server has such, still cuts to the range', async () => {
  const disk = new Uint8Array(16 * EXTENT_UNIT).fill(1, 4096);
  const requests: Awaited<ReturnType<ScriptedServer['request']>>[] = [];
  const blockSize = { minimum: 4096, preferred: 4096, maximum: 65536 };
  const { dial } = scripted((server) => serveModel(server, disk, { blockSize }, requests));
  const client = await openDisk(dial);
  expect(await collect(client.extents({ offset: 100n, length: 5000n }))).toMatchObject([
    { offset: 100n, length: 3996n, flags: 3 },
    { offset: 4096n, length: 1004n, flags: 0 },
  ]);
  expect(requests[0]).toMatchObject({ offset: 0n, length: 8192n });
  await client.close();
});

test('it asks ahead once it knows how much the server tells at a time', async () => {
  const size = 12 << 20;
  const disk = new Uint8Array(size);
  let waiting = 0;
  let most = 0;
  const { dial } = scripted(async (server) => {
    const send = server.send.bind(server);
    await serveModel(
      Object.assign(server, {
        send: (...parts: Uint8Array[]) => {
          most = Math.max(most, ++waiting);
          setImmediate(() => {
            waiting--;
            send(...parts);
          });
        },
      }),
      // Alternating units, of which a reply tells a megabyte.
      disk.map((_, i) => (i % 1024 === 0 ? 1 : 0)),
      { extentsPerReply: 2048 },
    );
  });
  const client = await openDisk(dial);
  let count = 0;
  for await (const { length } of client.extents()) if (length === 512n) count++;
  expect(count).toBe(size / 512);
  expect(most).toBeGreaterThan(4);
  await client.close();
});

test('an iteration that is left asks no more', async () => {
  const requests: unknown[] = [];
  const disk = new Uint8Array(UNITS * EXTENT_UNIT).map((_, i) => (i % 1024 === 0 ? 1 : 0));
  const { dial } = scripted((server) =>
    serveModel(server, disk, { extentsPerReply: 1 }, requests as never[]),
  );
  const client = await openDisk(dial);
  for await (const { offset } of client.extents()) if (offset > 0n) break;
  await client.close();
  expect(requests.length).toBeLessThan(UNITS / 4);
});

test('an iteration ends with the error of the server', async () => {
  const { dial } = scripted(async (server) => {
    await server.handshake();
    server.error(await server.request(), 5, 'the map is lost');
  });
  const client = await openDisk(dial);
  await expect(collect(client.extents())).rejects.toMatchObject({ code: 'EIO' });
  client.destroy();
});

test('extents that reach beyond the end are cut', async () => {
  const { dial } = scripted((server) => serveModel(server, new Uint8Array(700)));
  const client = await openDisk(dial);
  expect(await collect(client.extents())).toMatchObject([{ offset: 0n, length: 700n }]);
  await client.close();
});
