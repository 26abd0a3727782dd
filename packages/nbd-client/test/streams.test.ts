import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import { Command } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createReadStream, createWriteStream } from '../src/index.js';
import { openDisk, type NbdClient } from '../src/session/index.js';
import { answer, serveModel, type ModelOptions } from './model-server.js';
import { ALL_FLAGS, scripted, type ScriptedServer } from './scripted-server.js';

type Received = Awaited<ReturnType<ScriptedServer['request']>>;

const SIZE = 1 << 18;
const pattern = Uint8Array.from({ length: SIZE }, (_, i) => i * 7 + (i >> 8));

async function open(
  memory: Uint8Array,
  served: ModelOptions = {},
): Promise<{ disk: NbdClient; requests: Received[] }> {
  const requests: Received[] = [];
  const { dial } = scripted((server) => serveModel(server, memory, served, requests));
  return { disk: await openDisk(dial), requests };
}

const readers: [string, (disk: NbdClient, options: object) => Promise<Buffer>][] = [
  ['createReadStream', (disk, options) => buffer(createReadStream(disk, options))],
  ['readable', (disk, options) => buffer(disk.readable(options))],
];

describe.each(readers)('%s', (_name, read) => {
  test('gives the bytes of any range, whatever the sizes', async () => {
    await fc.assert(
      fc.asyncProperty(ranges, sizes, sizes, async ([offset, length], chunkSize, readahead) => {
        const { disk } = await open(pattern);
        const found = await read(disk, {
          offset: BigInt(offset),
          length: BigInt(length),
          chunkSize,
          readahead,
        });
        expect(Buffer.compare(found, pattern.subarray(offset, offset + length))).toBe(0);
        await disk.close();
      }),
      { numRuns: 30 },
    );
  });

  test('gives the whole disk', async () => {
    const { disk } = await open(pattern);
    expect(Buffer.compare(await read(disk, {}), pattern)).toBe(0);
    await disk.close();
  });

  test('ends with the error of the disk', async () => {
    const { dial } = scripted(async (server) => {
      await server.handshake({ size: BigInt(SIZE) });
      for (let i = 0; ; i++) {
        const request = await server.request();
        if (i === 2) server.error(request, 5, 'a bad sector');
        else answer(server, pattern, request);
      }
    });
    const disk = await openDisk(dial);
    await expect(read(disk, { chunkSize: 4096 })).rejects.toMatchObject({ code: 'EIO', offset: 8192n });
    disk.destroy();
  });

  test('can be aborted', async () => {
    const { dial } = scripted((server) => server.handshake({ size: BigInt(SIZE) }));
    const disk = await openDisk(dial);
    const abort = new AbortController();
    const reading = read(disk, { signal: abort.signal });
    abort.abort();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    disk.destroy();
  });

  test('refuses a range outside the disk', async () => {
    const { disk } = await open(pattern);
    await expect(read(disk, { offset: 1n, length: BigInt(SIZE) })).rejects.toMatchObject({ code: 'EINVAL' });
    await disk.close();
  });
});

test('a stream asks ahead, and no further than told', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: BigInt(SIZE) }));
  const disk = await openDisk(dial);
  const stream = createReadStream(disk, { chunkSize: 1000, readahead: 5000 });
  stream.on('error', () => undefined);
  const reading = buffer(stream);
  reading.catch(() => undefined);
  const requests: Received[] = [];
  for (let i = 0; i < 5; i++) requests.push(await servers[0]!.request());
  let more = 0;
  void servers[0]!.request().then(() => more++);
  await new Promise(setImmediate);
  expect(more).toBe(0);
  answer(servers[0]!, pattern, requests[0]!);
  await new Promise(setImmediate);
  expect(more).toBe(1);
  disk.destroy();
  await expect(reading).rejects.toThrow();
});

test('a stream that is destroyed lets go of the disk at once', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: BigInt(SIZE) }));
  const disk = await openDisk(dial);
  const stream = createReadStream(disk, { chunkSize: 1000, readahead: 2000 });
  stream.read();
  const requests = [await servers[0]!.request(), await servers[0]!.request()];
  stream.destroy();
  await new Promise((resolve) => stream.once('close', resolve));
  for (const request of requests) answer(servers[0]!, pattern, request);
  const goodbye = servers[0]!.request();
  const closed = disk.close();
  expect((await goodbye).command).toBe(Command.DISC);
  servers[0]!.end();
  await closed;
});

test('a web stream that is cancelled lets go of the disk at once', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: BigInt(SIZE) }));
  const disk = await openDisk(dial);
  const reader = disk.readable({ chunkSize: 1000, readahead: 1000 }).getReader();
  const reading = reader.read();
  const request = await servers[0]!.request();
  await reader.cancel();
  expect(await reading).toMatchObject({ done: true });
  answer(servers[0]!, pattern, request);
  const closed = disk.close();
  expect((await servers[0]!.request()).command).toBe(Command.DISC);
  servers[0]!.end();
  await closed;
});

const writers: [string, (disk: NbdClient, chunks: Iterable<Uint8Array>, options: object) => Promise<void>][] =
  [
    [
      'createWriteStream',
      (disk, chunks, options) => pipeline(Readable.from(chunks), createWriteStream(disk, options)),
    ],
    [
      'writable',
      (disk, chunks, options) =>
        (Readable.toWeb(Readable.from(chunks)) as ReadableStream<Uint8Array>).pipeTo(disk.writable(options)),
    ],
  ];

describe.each(writers)('%s', (_name, write) => {
  test('writes what comes in any pieces, from any offset, and flushes', async () => {
    await fc.assert(
      fc.asyncProperty(
        ranges,
        sizes,
        sizes,
        sizes,
        async ([offset, length], piece, chunkSize, writeahead) => {
          const memory = new Uint8Array(SIZE).fill(0xee);
          const { disk, requests } = await open(memory);
          await write(disk, pieces(pattern.subarray(0, length), piece), {
            offset: BigInt(offset),
            chunkSize,
            writeahead,
          });
          await disk.close();
          const expected = new Uint8Array(SIZE).fill(0xee);
          expected.set(pattern.subarray(0, length), offset);
          expect(Buffer.compare(memory, expected)).toBe(0);
          expect(requests.at(-2)?.command).toBe(Command.FLUSH);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('what ends within a block leaves the rest of the block as it is', async () => {
    const memory = new Uint8Array(SIZE).fill(0xee);
    const { disk } = await open(memory, { blockSize: { minimum: 4096, preferred: 4096, maximum: 65536 } });
    await write(disk, [pattern.subarray(0, 10_000)], { offset: 8192n });
    await disk.close();
    const expected = new Uint8Array(SIZE).fill(0xee);
    expected.set(pattern.subarray(0, 10_000), 8192);
    expect(Buffer.compare(memory, expected)).toBe(0);
  });

  test('beyond the end of the disk is an error', async () => {
    const { disk } = await open(new Uint8Array(1000));
    await expect(write(disk, [new Uint8Array(1001)], {})).rejects.toMatchObject({ code: 'ENOSPC' });
    await disk.close();
  });

  test('fails with the error of a write under way', async () => {
    const { dial } = scripted(async (server) => {
      await server.handshake({ size: BigInt(SIZE) });
      for (;;) server.error(await server.request(), 28, 'the pool is full');
    });
    const disk = await openDisk(dial);
    await expect(write(disk, pieces(pattern, 4096), { chunkSize: 4096 })).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    disk.destroy();
  });
});

test('what a stream has taken may be used again, though it is not written yet', async () => {
  const memory = new Uint8Array(SIZE);
  const { disk } = await open(memory);
  const stream = createWriteStream(disk, { chunkSize: 4096 });
  const writer = disk.writable({ offset: 100_000n, chunkSize: 4096 }).getWriter();
  const piece = new Uint8Array(1000);
  for (let i = 1; i <= 100; i++) {
    await new Promise((resolve) => stream.write(piece.fill(i), resolve));
    await writer.write(piece.fill(100 + i));
  }
  await new Promise<void>((resolve) => stream.end(resolve));
  await writer.close();
  await disk.close();
  const expected = new Uint8Array(SIZE).map((_, i) => (i < 200_000 ? 1 + Math.floor(i / 1000) : 0));
  expect(Buffer.compare(memory, expected)).toBe(0);
});

test('a read-only disk has no stream to write to', async () => {
  const { disk } = await open(new Uint8Array(512), { flags: ALL_FLAGS | 2 });
  expect(() => createWriteStream(disk)).toThrow(/read-only/);
  expect(() => disk.writable()).toThrow(/read-only/);
  await disk.close();
});

test('a stream to write to can not start within a block', async () => {
  const { disk } = await open(new Uint8Array(8192), {
    blockSize: { minimum: 512, preferred: 512, maximum: 4096 },
  });
  expect(() => createWriteStream(disk, { offset: 100n })).toThrow(/blocks have 512 bytes/);
  await disk.close();
});

test('a stream that writes slows its source down', async () => {
  const { dial, servers } = scripted((server) => server.handshake({ size: BigInt(SIZE) }));
  const disk = await openDisk(dial);
  const stream = createWriteStream(disk, { chunkSize: 1000, writeahead: 3000 });
  let taken = 0;
  for (const piece of pieces(pattern.subarray(0, 10_000), 1000)) {
    stream.write(piece, (error) => {
      if (!error) taken++;
    });
  }
  stream.on('error', () => undefined);
  const requests = [await servers[0]!.request(), await servers[0]!.request(), await servers[0]!.request()];
  await new Promise(setImmediate);
  expect(taken).toBe(2);
  answer(servers[0]!, new Uint8Array(SIZE), requests[0]!);
  await servers[0]!.request();
  expect(taken).toBe(3);
  stream.destroy();
  disk.destroy();
});

test('a disk can be copied through streams', async () => {
  const memory = new Uint8Array(SIZE);
  const [source, target] = [await open(pattern), await open(memory)];
  await pipeline(createReadStream(source.disk), createWriteStream(target.disk));
  expect(Buffer.compare(memory, pattern)).toBe(0);
  await source.disk.close();
  await target.disk.close();
});

function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const sizes = fc.oneof(fc.integer({ min: 500, max: 5000 }), fc.integer({ min: 1000, max: SIZE }));
const ranges = fc
  .tuple(fc.integer({ min: 0, max: SIZE }), fc.integer({ min: 0, max: SIZE }))
  .map(([offset, length]) => [offset, Math.min(length, SIZE - offset)] as const);
