import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, ErrorValue, NbdError, ReplyType, type BlockDevice, type LocatedSink } from '@nbd/protocol';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { RawClient } from './raw/raw-client.js';
import { serveOnSocket } from './raw/serve-socket.js';

const CONTENT = Buffer.from(Uint32Array.from({ length: 256 << 10 }, (_, i) => i * 2_654_435_761).buffer);
const LENGTH = 100_000;

/** A file as a disk that also tells where its bytes are. */
function fileDisk() {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-located-'));
  const path = join(directory, 'disk');
  writeFileSync(path, CONTENT);
  const fd = openSync(path, 'r');
  onTestFinished(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  const read = vi.fn<BlockDevice['read']>((offset, into) => {
    if (readSync(fd, into, 0, into.length, offset) < into.length) throw new NbdError('EIO', 'too short');
  });
  const locate = vi.fn((offset: bigint, length: number, sink: LocatedSink) =>
    sink.addFile(fd, offset, length),
  );
  return { path, fd, device: { size: BigInt(CONTENT.length), read, locate } };
}

const at = (offset: number, length = LENGTH) => CONTENT.subarray(offset, offset + length);

async function expectRead(client: RawClient, offset: number): Promise<void> {
  client.request({ command: Command.READ, cookie: 3n, offset: BigInt(offset), length: BigInt(LENGTH) });
  const { error, cookie, payload } = await client.simpleReply(LENGTH);
  expect({ error, cookie }).toEqual({ error: 0, cookie: 3n });
  expect(Buffer.compare(payload, at(offset))).toBe(0);
}

test.each(['simple', 'structured', 'extended'])('what is located is sent in %s replies', async (style) => {
  const { device } = fileDisk();
  const { client } = (await serveOnSocket(device)).connect();
  await client.go({ structured: style === 'structured', extended: style === 'extended' });
  for (let i = 0; i < 30; i++) {
    const request = {
      command: Command.READ,
      cookie: BigInt(i),
      offset: BigInt(i * 1009),
      length: BigInt(LENGTH),
    };
    if (style === 'extended') client.extendedRequest(request);
    else client.request(request);
  }
  for (let i = 0; i < 30; i++) {
    if (style === 'simple') {
      const { error, cookie, payload } = await client.simpleReply(LENGTH);
      expect(error).toBe(0);
      expect(Buffer.compare(payload, at(Number(cookie) * 1009))).toBe(0);
      continue;
    }
    const chunk = await (style === 'extended' ? client.extendedChunk() : client.chunk());
    expect(chunk).toMatchObject({ flags: 1, type: ReplyType.OFFSET_DATA });
    expect(Buffer.from(chunk.payload).readBigUInt64BE()).toBe(chunk.cookie * 1009n);
    expect(Buffer.compare(chunk.payload.subarray(8), at(Number(chunk.cookie) * 1009))).toBe(0);
  }
  expect(device.read).not.toHaveBeenCalled();
});

test.each<[string, (sink: LocatedSink, fd: number, offset: bigint) => boolean]>([
  ['can not', () => false],
  ['has done only a part', (sink, fd, offset) => sink.addFile(fd, offset, LENGTH / 2) && false],
  ['says so wrongly', (sink, fd, offset) => sink.addFile(fd, offset, LENGTH / 2)],
  ['gives too much', (sink, fd, offset) => sink.addFile(fd, offset, LENGTH) && sink.addBytes(CONTENT)],
  ['gives no open file', (sink) => sink.addFile(0x7fff_ffff, 0n, LENGTH)],
  [
    'throws',
    (sink) => {
      sink.addBytes(CONTENT);
      throw new Error('on purpose');
    },
  ],
])('a device that %s is read', async (_, locate) => {
  const { device, fd } = fileDisk();
  device.locate.mockImplementation((offset, _length, sink) => locate(sink, fd, offset));
  const { client } = (await serveOnSocket(device)).connect();
  await client.go();
  for (let i = 0; i < 5; i++) await expectRead(client, i * 1000);
  expect(device.read).toHaveBeenCalledTimes(5);
});

test('what a device adds late is no part of a reply', async () => {
  const { device, fd } = fileDisk();
  const sinks: LocatedSink[] = [];
  device.locate.mockImplementation((offset, length, sink) => {
    for (const late of sinks) expect(late.addBytes(Uint8Array.of(1)) || late.addFile(fd, 0n, 1)).toBe(false);
    sinks.push(sink);
    return sink.addFile(fd, offset, length);
  });
  const { client } = (await serveOnSocket(device)).connect();
  await client.go();
  for (let i = 0; i < 5; i++) await expectRead(client, i * 1000);
  expect(device.read).not.toHaveBeenCalled();
});

test('a file that has become shorter fails the read, and not the connection', async () => {
  const { device, path } = fileDisk();
  const { client } = (await serveOnSocket(device)).connect();
  await client.go();
  await expectRead(client, 0);
  truncateSync(path, LENGTH + 10);
  client.request({ command: Command.READ, offset: 100n, length: BigInt(LENGTH) });
  expect(await client.simpleReply(LENGTH)).toMatchObject({ error: ErrorValue.EIO });
  await expectRead(client, 0);
});

test('a client that does not take its replies makes later requests wait, not memory grow', async () => {
  const { device } = fileDisk();
  const { client } = (await serveOnSocket(device)).connect();
  await client.go();
  client.deaf = true;
  for (let i = 0; i < 500; i++)
    client.request({ command: Command.READ, offset: BigInt(i), length: BigInt(LENGTH) });
  await new Promise((resolve) => setTimeout(resolve, 100));
  const taken = device.locate.mock.calls.length + device.read.mock.calls.length;
  expect(taken).toBeLessThan(100);
  client.hear();
  for (let i = 0; i < 500; i++) expect((await client.simpleReply(LENGTH)).error).toBe(0);
});
