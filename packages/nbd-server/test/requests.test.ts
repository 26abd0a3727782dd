import { Command, CommandFlag, ErrorValue, InfoType, ReplyFlag, ReplyType } from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { memoryDisk, serveRaw } from './raw/serve-raw.js';

const pattern = (length: number, seed = 0) => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

describe('simple replies', () => {
  test('what is written is read back', async () => {
    const disk = memoryDisk(1 << 20);
    const { client } = serveRaw(disk);
    await client.go();
    client.request({
      command: Command.WRITE,
      cookie: 7n,
      offset: 1000n,
      length: 5000n,
      payload: pattern(5000),
    });
    expect(await client.simpleReply()).toMatchObject({ error: 0, cookie: 7n });
    client.request({ command: Command.READ, cookie: 8n, offset: 1000n, length: 5000n });
    expect(await client.simpleReply(5000)).toEqual({ error: 0, cookie: 8n, payload: pattern(5000) });
  });

  test('a payload that comes in pieces is put together', async () => {
    const disk = memoryDisk(1 << 20);
    const { client } = serveRaw(disk);
    await client.go();
    const payload = pattern(300_000);
    client.request({ command: Command.WRITE, offset: 1n, length: 300_000n });
    for (let at = 0; at < payload.length; at += 70_001) {
      client.send(payload.subarray(at, at + 70_001));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.simpleReply()).error).toBe(0);
    // Not toEqual: that takes seconds for so many bytes.
    expect(Buffer.compare(disk.bytes.subarray(1, 300_001), payload)).toBe(0);
  });

  test('requests that are refused leave the connection as it was', async () => {
    const { client } = serveRaw(memoryDisk(1000));
    await client.go();
    const refused = [
      [{ command: Command.READ, offset: 1000n, length: 1n }, ErrorValue.EINVAL],
      [{ command: Command.READ, offset: 0xffff_ffff_ffff_ffffn, length: 0xffff_ffffn }, ErrorValue.EINVAL],
      [{ command: Command.WRITE, offset: 999n, length: 2n, payload: pattern(2) }, ErrorValue.ENOSPC],
      [{ command: Command.WRITE_ZEROES, offset: 999n, length: 2n }, ErrorValue.ENOSPC],
      [{ command: Command.TRIM, offset: 999n, length: 2n }, ErrorValue.EINVAL],
      [{ command: Command.FLUSH, length: 1n }, ErrorValue.EINVAL],
      [{ command: Command.READ, flags: CommandFlag.DF, length: 1n }, ErrorValue.EINVAL],
      [{ command: Command.READ, flags: 0x8000, length: 1n }, ErrorValue.EINVAL],
      [{ command: Command.BLOCK_STATUS, length: 1n }, ErrorValue.EINVAL],
      [{ command: 99, length: 1n }, ErrorValue.EINVAL],
    ] as const;
    for (const [request, error] of refused) {
      client.request(request);
      expect(
        await client.simpleReply(),
        JSON.stringify(request, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)),
      ).toMatchObject({ error });
    }
    client.request({ command: Command.READ, length: 1000n });
    expect((await client.simpleReply(1000)).error).toBe(0);
  });

  test('a read-only export refuses to be changed', async () => {
    const { client } = serveRaw(memoryDisk(1000), { readOnly: true });
    await client.go();
    client.request({ command: Command.WRITE, length: 10n, payload: pattern(10) });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EPERM });
    for (const command of [Command.TRIM, Command.WRITE_ZEROES]) {
      client.request({ command, length: 10n });
      expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EPERM });
    }
  });

  test('ten thousand requests at once are all answered', async () => {
    const { client } = serveRaw({
      ...memoryDisk(1 << 16),
      read: async (_offset, into) => void (await Promise.resolve(), into.fill(9)),
    });
    await client.go();
    const cookies = new Set<bigint>();
    for (let i = 0n; i < 10_000n; i++) {
      cookies.add(i);
      client.request({ command: Command.READ, cookie: i, offset: i, length: 16n });
    }
    for (let i = 0; i < 10_000; i++) {
      const { error, cookie, payload } = await client.simpleReply(16);
      if (error === 0 && payload.every((byte) => byte === 9)) cookies.delete(cookie);
    }
    expect(cookies.size).toBe(0);
  });
});

describe('a client that reads late', () => {
  test.each([
    ['writes', { command: Command.WRITE, length: 1n, payload: Uint8Array.of(1) }, 0],
    ['small reads', { command: Command.READ, length: 512n }, 512],
  ])('gets the replies to all its %s', async (_what, request, length) => {
    const { client } = serveRaw(memoryDisk(1 << 16), { limits: { requests: 20_000 } });
    await client.go();
    client.deaf = true;
    for (let cookie = 0n; cookie < 5000n; cookie++) client.request({ ...request, cookie });
    await new Promise((resolve) => setImmediate(resolve));
    client.hear();
    const cookies = new Set<bigint>();
    for (let i = 0; i < 5000; i++) cookies.add((await client.simpleReply(length)).cookie);
    expect(cookies.size).toBe(5000);
  });
});

describe('structured replies', () => {
  test('a read is one chunk with its offset', async () => {
    const disk = memoryDisk(1 << 16);
    disk.bytes.set(pattern(1 << 16));
    const { client } = serveRaw(disk);
    await client.go({ structured: true });
    client.request({ command: Command.READ, cookie: 5n, offset: 100n, length: 200n });
    const chunk = await client.chunk();
    expect(chunk).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.OFFSET_DATA, cookie: 5n });
    expect(new DataView(chunk.payload.buffer).getBigUint64(0)).toBe(100n);
    expect(chunk.payload.subarray(8)).toEqual(disk.bytes.subarray(100, 300));
  });

  test('holes that the device reports are told, not sent', async () => {
    const disk = memoryDisk(1 << 20);
    disk.bytes.fill(1, 0, 10_000);
    const { client } = serveRaw({
      ...disk,
      read(offset, into, options) {
        void disk.read(offset, into);
        options?.holes?.add(10_000n, (1n << 20n) - 10_000n);
      },
    });
    await client.go({ structured: true });
    client.request({ command: Command.READ, length: 100_000n });
    const [data, hole] = [await client.chunk(), await client.chunk()];
    expect(data).toMatchObject({ flags: 0, type: ReplyType.OFFSET_DATA });
    expect(data.payload.length - 8).toBe(10_240);
    expect(hole).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.OFFSET_HOLE });
    expect(new DataView(hole.payload.buffer).getUint32(8)).toBe(100_000 - 10_240);
    client.request({ command: Command.READ, flags: CommandFlag.DF, length: 100_000n });
    expect(await client.chunk()).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.OFFSET_DATA });
  });

  test('errors carry a message', async () => {
    const { client } = serveRaw(memoryDisk(10));
    await client.go({ structured: true });
    client.request({ command: Command.READ, offset: 10n, length: 1n });
    const chunk = await client.chunk();
    expect(chunk).toMatchObject({ flags: ReplyFlag.DONE, type: ReplyType.ERROR });
    expect(new TextDecoder().decode(chunk.payload.subarray(6))).toContain('READ of 1 bytes at 10');
  });
});

describe('extended headers', () => {
  test('every reply is extended and repeats the offset', async () => {
    const disk = memoryDisk(1 << 16);
    const { client } = serveRaw(disk);
    await client.go({ extended: true });
    const flags = CommandFlag.PAYLOAD_LEN;
    client.extendedRequest({
      command: Command.WRITE,
      flags,
      offset: 64n,
      length: 100n,
      payload: pattern(100),
    });
    expect(await client.extendedChunk()).toMatchObject({
      type: ReplyType.NONE,
      flags: ReplyFlag.DONE,
      offset: 64n,
    });
    expect(disk.bytes.subarray(64, 164)).toEqual(pattern(100));
    client.extendedRequest({ command: Command.READ, offset: 64n, length: 100n });
    expect((await client.extendedChunk()).payload.subarray(8)).toEqual(pattern(100));
    client.extendedRequest({ command: Command.READ, offset: 1n << 16n, length: 100n });
    expect(await client.extendedChunk()).toMatchObject({ type: ReplyType.ERROR, offset: 1n << 16n });
  });

  test('a block status reaches over 7 EiB at once', async () => {
    const size = 7n << 60n;
    const { client } = serveRaw({
      size,
      read: () => undefined,
      extents(_offset, length, sink) {
        sink.add(length, 3);
      },
    });
    await client.go({ extended: true, contexts: ['base:allocation'] });
    client.extendedRequest({ command: Command.BLOCK_STATUS, length: size });
    const { type, payload } = await client.extendedChunk();
    expect(type).toBe(ReplyType.BLOCK_STATUS_EXT);
    const view = new DataView(payload.buffer);
    expect([view.getUint32(0), view.getUint32(4), view.getBigUint64(8), view.getBigUint64(16)]).toEqual([
      1,
      1,
      size,
      3n,
    ]);
  });
});

describe('block sizes', () => {
  const coarse = () => {
    const disk = memoryDisk(1 << 16);
    const seen: [bigint, bigint][] = [];
    const device = {
      ...disk,
      info: { blockSize: { minimum: 4096, preferred: 4096, maximum: 1 << 20 } },
      read(offset: bigint, into: Uint8Array) {
        seen.push([offset, BigInt(into.length)]);
        void disk.read(offset, into);
      },
      write(offset: bigint, from: Uint8Array) {
        seen.push([offset, BigInt(from.length)]);
        void disk.write!(offset, from);
      },
    };
    return { device, disk, seen };
  };

  test('who asked for them is held to them', async () => {
    const { device, seen } = coarse();
    const { client } = serveRaw(device);
    await client.go({ infos: [InfoType.BLOCK_SIZE] });
    client.request({ command: Command.READ, offset: 512n, length: 512n });
    expect(await client.simpleReply()).toMatchObject({ error: ErrorValue.EINVAL });
    expect(seen).toEqual([]);
  });

  test('who did not is served all the same, in whole blocks', async () => {
    const { device, disk, seen } = coarse();
    const { client } = serveRaw(device);
    disk.bytes.fill(1);
    await client.go();
    client.request({ command: Command.WRITE, offset: 5000n, length: 10_000n, payload: pattern(10_000) });
    expect((await client.simpleReply()).error).toBe(0);
    client.request({ command: Command.READ, offset: 4999n, length: 10_002n });
    const { payload } = await client.simpleReply(10_002);
    expect([payload[0], payload.at(-1)]).toEqual([1, 1]);
    expect(payload.subarray(1, -1)).toEqual(pattern(10_000));
    expect(seen.every(([offset, length]) => offset % 4096n === 0n && length % 4096n === 0n)).toBe(true);
  });

  test('a fast zero of less than a block is refused: it would be no faster than a write', async () => {
    const { device, seen } = coarse();
    const { client } = serveRaw({ ...device, info: { ...device.info, fastZero: true } });
    await client.go();
    const zero = { command: Command.WRITE_ZEROES, offset: 4000n, length: 4000n };
    client.request({ ...zero, flags: CommandFlag.FAST_ZERO });
    expect((await client.simpleReply()).error).toBe(ErrorValue.ENOTSUP);
    expect(seen).toEqual([]);
    client.request(zero);
    expect((await client.simpleReply()).error).toBe(0);
  });
});

describe('a client that vanishes', () => {
  test.each([
    ['in the middle of a payload', { command: Command.WRITE, length: 1000n, payload: pattern(10) }],
    ['after an absurd request', { command: Command.WRITE, length: 0xffff_ffffn }],
  ])('%s has its device closed at once', async (_what, request) => {
    let closes = 0;
    const device = {
      ...memoryDisk(1 << 16),
      close: () => {
        closes++;
      },
    };
    const { client, closed } = serveRaw({ name: 'test', open: () => device });
    await client.go();
    client.request(request);
    await new Promise((resolve) => setImmediate(resolve));
    client.hangUp();
    await closed;
    expect(closes).toBe(1);
  });
});
