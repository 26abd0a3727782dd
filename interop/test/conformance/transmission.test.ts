import {
  BASE_ALLOCATION,
  Command,
  CommandFlag,
  decodeBlockStatusHeader,
  decodeErrorChunk,
  decodeExtendedBlockStatusHeader,
  decodeExtendedExtent,
  decodeExtent,
  encodeBlockStatusPayload,
  ErrorValue,
  InfoType,
  ReplyFlag,
  ReplyType,
} from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { connectRaw, serve, type RawClient } from '../../harness/index.js';
import { useOddServer } from './odd-server.js';

const odd = useOddServer();
const readOnly = useOddServer('--readonly');

type Settings = Parameters<RawClient['go']>[0];

async function open(name = '', settings: Settings = {}, server = odd): Promise<RawClient> {
  const client = await server.connect();
  await client.go({ name, ...settings });
  return client;
}

const bytes = (length: number, value = 1) => new Uint8Array(length).fill(value);

describe('"Ordering of messages and writes"', () => {
  test('replies come as they are ready, each with its cookie', async () => {
    const client = await open('reversed');
    client.request({ command: Command.READ, cookie: 10n, offset: 0n, length: 512n });
    client.request({ command: Command.READ, cookie: 11n, offset: 512n, length: 512n });
    const first = await client.simpleReply(512);
    const second = await client.simpleReply(512);
    expect([first.cookie, second.cookie]).toEqual([11n, 10n]);
    expect([first.payload[0], second.payload[0]]).toEqual([1, 0]);
  });

  test('two requests with one cookie get two replies', async () => {
    const client = await open();
    for (let i = 0; i < 2; i++) client.request({ command: Command.READ, cookie: 5n, length: 1n });
    expect([(await client.simpleReply(1)).cookie, (await client.simpleReply(1)).cookie]).toEqual([5n, 5n]);
  });

  test.each([
    ['WRITE', { command: Command.WRITE, length: 1n, payload: bytes(1) }],
    ['TRIM', { command: Command.TRIM, length: 1n }],
    ['WRITE_ZEROES', { command: Command.WRITE_ZEROES, length: 1n }],
  ])(
    '%s with FUA is answered after a flush, where the device has no FUA of its own',
    async (_what, request) => {
      const client = await open('flushed');
      const flushes = async () => {
        client.request({ command: Command.READ, length: 1n });
        return (await client.simpleReply(1)).payload[0]!;
      };
      const before = await flushes();
      client.request(request);
      expect((await client.simpleReply()).error).toBe(0);
      expect(await flushes()).toBe(before);
      client.request({ ...request, flags: CommandFlag.FUA });
      expect((await client.simpleReply()).error).toBe(0);
      expect(await flushes()).toBe(before + 1);
    },
  );

  test('FUA is taken with every command once it is offered', async () => {
    const client = await open('flushed');
    client.request({ command: Command.READ, flags: CommandFlag.FUA, length: 1n });
    expect((await client.simpleReply(1)).error).toBe(0);
    client.request({ command: Command.FLUSH, flags: CommandFlag.FUA });
    expect((await client.simpleReply()).error).toBe(0);
  });
});

describe('"Simple reply message"', () => {
  test('an error has no payload, and the next reply follows', async () => {
    const client = await open('failing');
    client.request({ command: Command.READ, cookie: 1n, length: 4096n });
    client.request({ command: Command.READ, cookie: 2n, length: 4096n });
    expect(await client.simpleReply(4096)).toMatchObject({ error: ErrorValue.EIO, cookie: 1n });
    expect(await client.simpleReply(4096)).toMatchObject({ error: ErrorValue.EIO, cookie: 2n });
    expect(client.unread).toBe(0);
  });
});

describe('"Request types"', () => {
  test.each([
    ['READ', Command.READ, ErrorValue.EINVAL],
    ['TRIM', Command.TRIM, ErrorValue.EINVAL],
    ['WRITE_ZEROES', Command.WRITE_ZEROES, ErrorValue.ENOSPC],
  ])('%s beyond the end is refused', async (_what, command, error) => {
    const client = await open(command === Command.TRIM ? 'flushed' : '');
    for (const [offset, length] of [
      [1n << 20n, 1n],
      [(1n << 20n) - 1n, 2n],
      [0xffff_ffff_ffff_ffffn, 1n],
      [0xffff_ffff_ffff_f000n, 0xffff_ffffn],
    ] as const) {
      client.request({ command, offset, length });
      expect(await client.simpleReply()).toMatchObject({ error });
    }
  });

  test('a WRITE that is refused is read to its end', async () => {
    const client = await open();
    client.request({ command: Command.WRITE, offset: 1n << 20n, length: 100_000n, payload: bytes(100_000) });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.ENOSPC });
    client.request({ command: Command.READ, length: 1n });
    expect((await client.simpleReply(1)).error).toBe(0);
  });

  test('over the maximum payload a READ is refused, a WRITE too and read to its end; an absurd one ends it', async () => {
    await using server = await serve(['plugin-memory', '1G']);
    using connection = await connectRaw(server);
    const { client } = connection;
    await client.go();
    const length = (32 << 20) + 1;
    client.request({ command: Command.READ, length: BigInt(length) });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EINVAL });
    client.request({ command: Command.WRITE, length: BigInt(length), payload: bytes(length) });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EINVAL });
    client.request({ command: Command.READ, length: 32n << 20n });
    expect((await client.simpleReply(32 << 20)).error).toBe(0);
    client.request({ command: Command.WRITE, length: 0xffff_ffffn });
    await client.end();
  });

  test.each([Command.WRITE, Command.TRIM, Command.WRITE_ZEROES])(
    'command %s on a read-only export gets EPERM',
    async (command) => {
      const client = await open('flushed', {}, readOnly);
      client.request({ command, length: 8n, ...(command === Command.WRITE && { payload: bytes(8) }) });
      expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EPERM });
    },
  );

  test.each([
    ['an unknown command', { command: 1234, length: 1n }],
    ['RESIZE, which is experimental', { command: Command.RESIZE, length: 1n }],
    ['TRIM where it was not offered', { command: Command.TRIM, length: 1n }],
    ['CACHE where it was not offered', { command: Command.CACHE, length: 1n }],
    ['FLUSH where it was not offered', { command: Command.FLUSH }],
    ['BLOCK_STATUS without a context', { command: Command.BLOCK_STATUS, length: 1n }],
    ['an unknown flag', { command: Command.READ, flags: 1 << 9, length: 1n }],
    ['FUA where it was not offered', { command: Command.READ, flags: CommandFlag.FUA, length: 1n }],
    ['DF without structured replies', { command: Command.READ, flags: CommandFlag.DF, length: 1n }],
    ['NO_HOLE with a READ', { command: Command.READ, flags: CommandFlag.NO_HOLE, length: 1n }],
    [
      'PAYLOAD_LEN without extended headers',
      { command: Command.READ, flags: CommandFlag.PAYLOAD_LEN, length: 1n },
    ],
  ])('%s gets EINVAL', async (_what, request) => {
    const client = await open();
    client.request(request);
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EINVAL });
  });

  test('FLUSH with an offset or a length gets EINVAL', async () => {
    const client = await open('flushed');
    for (const place of [{ offset: 1n }, { length: 1n }]) {
      client.request({ command: Command.FLUSH, ...place });
      expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EINVAL });
    }
  });

  test('a length of 0 does not disconnect', async () => {
    const client = await open('flushed');
    for (const command of [Command.READ, Command.WRITE, Command.TRIM, Command.WRITE_ZEROES]) {
      client.request({ command });
      expect(await client.simpleReply()).toMatchObject({ error: 0 });
    }
  });

  test('WRITE_ZEROES makes zeroes where the device can only write, but not fast, and not without end', async () => {
    const client = await open();
    client.request({ command: Command.WRITE, length: 4096n, payload: bytes(4096) });
    await client.simpleReply();
    client.request({ command: Command.WRITE_ZEROES, flags: CommandFlag.FAST_ZERO, length: 4096n });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.ENOTSUP });
    client.request({ command: Command.WRITE_ZEROES, flags: CommandFlag.NO_HOLE, offset: 1n, length: 4000n });
    expect((await client.simpleReply()).error).toBe(0);
    client.request({ command: Command.READ, length: 4096n });
    const { payload } = await client.simpleReply(4096);
    expect([payload[0], payload[1], payload[4000], payload[4001]]).toEqual([1, 0, 0, 1]);
  });

  test('DISC ends the connection after what came before it', async () => {
    const client = await open('reversed');
    client.request({ command: Command.READ, offset: 0n, length: 512n });
    client.request({ command: Command.DISC });
    expect((await client.simpleReply(512)).error).toBe(0);
    await client.end();
  });

  test('a request with a wrong magic ends the connection', async () => {
    const client = await open();
    client.send(bytes(28));
    await client.end();
  });
});

describe('"Size constraints"', () => {
  test('who asked for the block sizes is held to them', async () => {
    const client = await open('blocks', { infos: [InfoType.BLOCK_SIZE] });
    for (const request of [
      { command: Command.READ, offset: 512n, length: 4096n },
      { command: Command.READ, offset: 4096n, length: 512n },
      { command: Command.WRITE, offset: 512n, length: 8n, payload: bytes(8) },
      { command: Command.WRITE_ZEROES, offset: 0n, length: 1n },
      { command: Command.READ, length: (1n << 20n) + 4096n },
    ]) {
      client.request(request);
      expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EINVAL });
    }
  });

  test('who did not is served all the same, and writes side by side lose nothing', async () => {
    const client = await open('blocks');
    for (let i = 0n; i < 4096n; i++) {
      client.request({
        command: Command.WRITE,
        cookie: i,
        offset: 3n * i,
        length: 3n,
        payload: bytes(3, Number(i) & 0xff),
      });
    }
    for (let i = 0; i < 4096; i++) expect((await client.simpleReply()).error).toBe(0);
    client.request({ command: Command.READ, offset: 1n, length: 12_286n });
    const { payload } = await client.simpleReply(12_286);
    expect(payload.every((byte, i) => byte === (Math.floor((i + 1) / 3) & 0xff))).toBe(true);
  });
});

describe('"Structured reply chunk message"', () => {
  test('a read is chunks that cover it once, holes included, the last one with DONE', async () => {
    const client = await open('holes', { structured: true });
    client.request({ command: Command.READ, cookie: 9n, offset: 8192n, length: 65_536n });
    const [data, hole] = [await client.chunk(), await client.chunk()];
    expect(data).toMatchObject({ flags: 0, type: ReplyType.OFFSET_DATA, cookie: 9n });
    expect(new DataView(data.payload.buffer).getBigUint64(0)).toBe(8192n);
    expect(data.payload).toHaveLength(8 + 4096);
    expect(hole).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.OFFSET_HOLE, cookie: 9n });
    const view = new DataView(hole.payload.buffer);
    expect([view.getBigUint64(0), view.getUint32(8)]).toEqual([12_288n, 61_440]);
  });

  test('DF keeps it in one chunk', async () => {
    const client = await open('holes', { structured: true });
    client.request({ command: Command.READ, flags: CommandFlag.DF, length: 65_536n });
    const chunk = await client.chunk();
    expect(chunk).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.OFFSET_DATA });
    expect(chunk.payload).toHaveLength(8 + 65_536);
  });

  test('an error is a chunk with DONE; what a plugin says of itself stays with the server', async () => {
    const client = await open('failing', { structured: true });
    client.request({ command: Command.READ, length: 512n });
    const chunk = await client.chunk();
    expect(chunk).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.ERROR });
    expect(decodeErrorChunk(chunk.payload)).toEqual({ error: ErrorValue.EIO, message: '' });
    client.request({ command: Command.WRITE, length: 8n, payload: bytes(8) });
    expect(decodeErrorChunk((await client.chunk()).payload)).toEqual({
      error: ErrorValue.ENOSPC,
      message: 'disk full',
    });
  });

  test('EINVAL for a READ is structured too', async () => {
    const client = await open('', { structured: true });
    client.request({ command: Command.READ, flags: 1 << 9, length: 512n });
    expect(await client.chunk()).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.ERROR });
  });
});

describe('BLOCK_STATUS', () => {
  const contexts = [BASE_ALLOCATION, 'x-odd:one', 'x-odd:two'];

  test('is answered with a chunk for each context that was selected', async () => {
    const client = await open('x-contexts', { structured: true, contexts });
    client.request({ command: Command.BLOCK_STATUS, length: 2500n });
    const chunks = [await client.chunk(), await client.chunk(), await client.chunk()];
    expect(chunks.map(({ flags }) => flags)).toEqual([0, 0, ReplyFlag.DONE]);
    expect(chunks.every(({ type }) => type === ReplyType.BLOCK_STATUS)).toBe(true);
    expect(chunks.map(({ payload }) => decodeBlockStatusHeader(payload).contextId)).toEqual([1, 2, 3]);
    // The sum of all extents but the last is less than the length that was asked for.
    expect(chunks.map(({ payload }) => decodeBlockStatusHeader(payload).count)).toEqual([3, 3, 3]);
    expect(decodeExtent(chunks[2]!.payload, 1)).toEqual({ length: 1000n, flags: 2n });
  });

  test('with REQ_ONE it is one extent, no longer than was asked for', async () => {
    const client = await open('x-contexts', { structured: true, contexts: ['x-odd:one'] });
    for (const [asked, got] of [
      [2500n, 1000n],
      [300n, 300n],
    ] as const) {
      client.request({ command: Command.BLOCK_STATUS, flags: CommandFlag.REQ_ONE, length: asked });
      const { payload, flags } = await client.chunk();
      expect({ flags, count: decodeBlockStatusHeader(payload).count }).toEqual({
        flags: ReplyFlag.DONE,
        count: 1,
      });
      expect(decodeExtent(payload, 0).length).toBe(got);
    }
  });

  test('of a device without extents is data all over', async () => {
    const client = await open('', { structured: true, contexts: [BASE_ALLOCATION] });
    client.request({ command: Command.BLOCK_STATUS, offset: 100n, length: 1000n });
    expect(decodeExtent((await client.chunk()).payload, 0)).toEqual({ length: 1000n, flags: 0n });
  });

  test.each([
    ['beyond the end', { offset: 1n << 20n, length: 1n }],
    ['of no length', { length: 0n }],
  ])('%s gets EINVAL', async (_what, place) => {
    const client = await open('', { structured: true, contexts: [BASE_ALLOCATION] });
    client.request({ command: Command.BLOCK_STATUS, ...place });
    expect(decodeErrorChunk((await client.chunk()).payload).error).toBe(ErrorValue.EINVAL);
  });

  test('is an error where the plugin reports no extents', async () => {
    const client = await open('failing', { structured: true, contexts: [BASE_ALLOCATION] });
    client.request({ command: Command.BLOCK_STATUS, length: 512n });
    expect(decodeErrorChunk((await client.chunk()).payload).error).toBe(ErrorValue.EIO);
  });

  test('holds for the export name that the contexts were selected for', async () => {
    const client = await odd.connect();
    await client.go({ structured: true, name: 'x-contexts', contexts: ['x-odd:one'] });
    client.request({ command: Command.BLOCK_STATUS, length: 512n });
    expect((await client.chunk()).type).toBe(ReplyType.BLOCK_STATUS);
  });
});

describe('"Extended headers"', () => {
  const extended: Settings = { extended: true, contexts: [BASE_ALLOCATION, 'x-odd:two'] };
  const { PAYLOAD_LEN } = CommandFlag;

  test('every reply is extended, with the cookie and the offset of its request', async () => {
    const client = await open('flushed', { extended: true });
    const place = { cookie: 77n, offset: 4096n };
    client.extendedRequest({
      command: Command.WRITE,
      flags: PAYLOAD_LEN,
      ...place,
      length: 8n,
      payload: bytes(8),
    });
    expect(await client.extendedChunk()).toMatchObject({
      type: ReplyType.NONE,
      flags: ReplyFlag.DONE,
      ...place,
    });
    client.extendedRequest({ command: Command.READ, ...place, length: 8n });
    expect(await client.extendedChunk()).toMatchObject({ type: ReplyType.OFFSET_DATA, ...place });
    client.extendedRequest({ command: Command.READ, cookie: 77n, offset: 1n << 63n, length: 8n });
    expect(await client.extendedChunk()).toMatchObject({
      type: ReplyType.ERROR,
      cookie: 77n,
      offset: 1n << 63n,
    });
    client.extendedRequest({ command: 99, flags: PAYLOAD_LEN, ...place, length: 8n, payload: bytes(8) });
    expect(await client.extendedChunk()).toMatchObject({ type: ReplyType.ERROR, ...place });
    client.extendedRequest({ command: Command.TRIM, ...place, length: 8n });
    expect(await client.extendedChunk()).toMatchObject({ type: ReplyType.NONE, ...place });
  });

  test('lengths of more than 32 bits are looked at whole', async () => {
    const client = await open('', { extended: true });
    client.extendedRequest({ command: Command.WRITE_ZEROES, length: (1n << 32n) + 8n });
    expect(decodeErrorChunk((await client.extendedChunk()).payload).error).toBe(ErrorValue.ENOSPC);
  });

  test.each([0, PAYLOAD_LEN])('a WRITE has its payload, flagged as such or not: %s', async (flags) => {
    const client = await open('', { extended: true });
    client.extendedRequest({ command: Command.WRITE, flags, length: 8n, payload: bytes(8, 5) });
    expect((await client.extendedChunk()).type).toBe(ReplyType.NONE);
    client.extendedRequest({ command: Command.READ, length: 8n });
    expect((await client.extendedChunk()).payload.subarray(8)).toEqual(bytes(8, 5));
  });

  test.each([0, PAYLOAD_LEN])('a payload over the maximum ends the connection: %s', async (flags) => {
    const client = await open('', { extended: true });
    client.extendedRequest({ command: Command.WRITE, flags, length: (32n << 20n) + 1n });
    await client.end();
  });

  test('a compact request ends the connection', async () => {
    const client = await open('', { extended: true });
    client.request({ command: Command.READ, length: 8n });
    client.send(bytes(8));
    await client.end();
  });

  test('block status is BLOCK_STATUS_EXT, whatever the length', async () => {
    const client = await open('x-contexts', extended);
    client.extendedRequest({ command: Command.BLOCK_STATUS, length: 1500n });
    const [base, two] = [await client.extendedChunk(), await client.extendedChunk()];
    expect([base.type, two.type]).toEqual([ReplyType.BLOCK_STATUS_EXT, ReplyType.BLOCK_STATUS_EXT]);
    expect(decodeExtendedBlockStatusHeader(two.payload)).toEqual({ contextId: 3, count: 2 });
    expect(decodeExtendedExtent(two.payload, 1)).toEqual({ length: 1000n, flags: 2n });
  });

  const filtered = (length: bigint, ...contextIds: number[]) => {
    const payload = encodeBlockStatusPayload({ length, contextIds });
    return { command: Command.BLOCK_STATUS, flags: PAYLOAD_LEN, length: BigInt(payload.length), payload };
  };

  test('a payload filters the contexts', async () => {
    const client = await open('x-contexts', extended);
    client.extendedRequest(filtered(1500n, 3));
    const chunk = await client.extendedChunk();
    expect(chunk.flags).toBe(ReplyFlag.DONE);
    expect(decodeExtendedBlockStatusHeader(chunk.payload)).toEqual({ contextId: 3, count: 2 });
  });

  test.each([
    ['an unknown id', filtered(1500n, 2)],
    ['an id twice', filtered(1500n, 3, 3)],
    ['no id', filtered(1500n)],
    ['a length beyond the end', filtered((1n << 20n) + 1n, 3)],
    ['half an id', { command: Command.BLOCK_STATUS, flags: PAYLOAD_LEN, length: 10n, payload: bytes(10) }],
  ])('a payload with %s gets EINVAL and is consumed', async (_what, request) => {
    const client = await open('x-contexts', extended);
    client.extendedRequest(request);
    expect(decodeErrorChunk((await client.extendedChunk()).payload).error).toBe(ErrorValue.EINVAL);
    client.extendedRequest({ command: Command.READ, length: 8n });
    expect((await client.extendedChunk()).type).toBe(ReplyType.OFFSET_DATA);
  });
});

describe('the server ends', () => {
  test('in-flight requests are answered, later ones get ESHUTDOWN or nothing', async () => {
    await using server = await serve(['plugin-memory', '1M']);
    using connection = await connectRaw(server);
    const { client } = connection;
    await client.go();
    client.request({ command: Command.READ, length: 512n });
    expect((await client.simpleReply(512)).error).toBe(0);
    server.signal('SIGTERM');
    await client.end();
    expect((await server.ended).code).toBe(0);
  });
});
