import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadKernel } from '../src/kernel.js';
import { overTcp, overUnixSocket, type MakePair } from './pairs.js';
import type { Recorder } from './recorder.js';
import { certificatePair } from './tls-pairs.js';

/** 1 MiB, none of it like another part of it. */
const CONTENT = Buffer.from(Uint32Array.from({ length: 256 << 10 }, (_, i) => i * 2_654_435_761).buffer);

/** A file of {@link CONTENT}. It goes with the test. */
function file(): { fd: number; path: string } {
  const directory = mkdtempSync(join(tmpdir(), 'nbd-pipe-'));
  const path = join(directory, 'content');
  writeFileSync(path, CONTENT);
  const fd = openSync(path, 'r');
  onTestFinished(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  return { fd, path };
}

async function pairOf(make: MakePair, options?: Parameters<MakePair>[0]) {
  const pair = await make(options);
  onTestFinished(async () => {
    pair.left.transport.destroy();
    pair.right.transport.destroy();
    await pair.close();
  });
  return pair;
}

/** Sends a header and a part of the file. */
function sendPart({ transport }: Recorder, fd: number, header: string, from: number, length: number) {
  const pipe = transport.openPipe!(header.length + length);
  if (!pipe) throw new Error('no pipe');
  expect(pipe.addBytes(Buffer.from(header))).toBe(true);
  expect(pipe.addFile(fd, BigInt(from), length)).toBe(true);
  expect(pipe.length).toBe(header.length + length);
  return new Promise<void>((resolve, reject) => {
    transport.sendPipe!(pipe, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

const descriptors = () => readdirSync('/proc/self/fd').length;

describe.skipIf(!loadKernel())('pipes of the kernel', () => {
  describe.each([
    ['TCP', overTcp],
    ['a Unix socket', overUnixSocket],
  ] as const)('over %s', (_, make) => {
    test('send parts of files, and what is in none, in the order in which all was sent', async () => {
      const { fd } = file();
      const { left, right } = await pairOf(make);
      const expected = [];
      const sent = [];
      for (let i = 0; i < 200; i++) {
        const [from, length] = [(i * 7919) % 500_000, (i * 104_729) % 400_000];
        if (i % 3 === 0) {
          sent.push(left.send(Buffer.from(`buffer ${i}`), CONTENT.subarray(from, from + length)));
          expected.push(Buffer.from(`buffer ${i}`));
        } else {
          sent.push(sendPart(left, fd, `pipe ${i}`, from, length));
          expected.push(Buffer.from(`pipe ${i}`));
        }
        expected.push(CONTENT.subarray(from, from + length));
        if (i % 10 === 9) await Promise.all(sent);
      }
      await Promise.all(sent);
      const all = Buffer.concat(expected);
      await right.has(all.length);
      expect(Buffer.compare(right.bytes(), all)).toBe(0);
      expect(left.transport.queuedBytes).toBe(0);
    });

    test('wait for a peer that does not read, and everything behind them too', async () => {
      const { fd } = file();
      let reading = false;
      const { left, right } = await pairOf(make, { right: { watch: () => reading } });
      const sent = [];
      for (let i = 0; i < 20; i++) {
        sent.push(sendPart(left, fd, `${i % 10}`, 0, 400_000));
        sent.push(left.send(Buffer.from('x')));
      }
      let done = 0;
      for (const each of sent) void each.then(() => done++);
      await right.has(1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(done).toBeLessThan(sent.length);
      expect(left.transport.queuedBytes).toBeGreaterThan(0);
      // It ends once all of it is sent.
      left.transport.end();
      reading = true;
      right.transport.resume();
      await Promise.all(sent);
      expect(await right.end).toBeUndefined();
      const one = CONTENT.subarray(0, 400_000);
      const all = Array.from({ length: 20 }, (_, i) => [Buffer.from(`${i % 10}`), one, Buffer.from('x')]);
      expect(Buffer.compare(right.bytes(), Buffer.concat(all.flat()))).toBe(0);
    });

    test('fail, once each, where the peer is gone', async () => {
      const { fd } = file();
      const before = descriptors();
      const { left, right } = await pairOf(make, { right: { watch: () => false } });
      const sent = Array.from({ length: 30 }, () => sendPart(left, fd, '', 0, 400_000));
      const all = Promise.allSettled(sent);
      await right.has(1);
      right.transport.destroy();
      const results = await all;
      expect(results.at(-1)!.status).toBe('rejected');
      await left.end;
      expect(left.transport.openPipe!(10)).toBeUndefined();
      expect(left.transport.queuedBytes).toBe(0);
      // Some pipes are kept for the next.
      expect(descriptors()).toBeLessThanOrEqual(before + 8);
    });
  });

  test('take no more than they have room for', async () => {
    const { left } = await pairOf(overUnixSocket);
    expect(left.transport.openPipe!(769 << 10)).toBeUndefined();
    const pipe = left.transport.openPipe!(768 << 10)!;
    expect(pipe.addBytes(new Uint8Array(2 << 20))).toBe(false);
    expect(pipe.addBytes(new Uint8Array(1))).toBe(false);
    pipe.discard();
  });

  test('have what a file had when it becomes shorter, and nothing past its end', async () => {
    const { fd, path } = file();
    const { left, right } = await pairOf(overUnixSocket);
    const pipe = left.transport.openPipe!(5000)!;
    expect(pipe.addFile(fd, 100n, 5000)).toBe(true);
    truncateSync(path, 0);
    await new Promise<void>((resolve) => {
      left.transport.sendPipe!(pipe, () => {
        resolve();
      });
    });
    await right.has(5000);
    expect(Buffer.compare(right.bytes(), CONTENT.subarray(100, 5100))).toBe(0);
    const empty = left.transport.openPipe!(5000)!;
    expect(empty.addFile(fd, 0n, 5000)).toBe(false);
    empty.discard();
  });

  test('come back empty', async () => {
    const { fd } = file();
    const { left, right } = await pairOf(overUnixSocket);
    for (let i = 0; i < 10; i++) {
      const pipe = left.transport.openPipe!(400_000)!;
      expect(pipe.length).toBe(0);
      pipe.addFile(fd, 0n, 400_000);
      pipe.discard();
    }
    await sendPart(left, fd, 'all', 0, 10);
    await right.has(13);
    expect(right.bytes()).toEqual(Buffer.concat([Buffer.from('all'), CONTENT.subarray(0, 10)]));
  });

  test('are bounded in number', async () => {
    const { left } = await pairOf(overUnixSocket);
    const pipes = [];
    for (let pipe = left.transport.openPipe!(1); pipe; pipe = left.transport.openPipe!(1)) pipes.push(pipe);
    expect(pipes.length).toBeLessThanOrEqual(32);
    for (const pipe of pipes) pipe.discard();
    const again = left.transport.openPipe!(1);
    expect(again).toBeDefined();
    again!.discard();
  });

  test('are not for TLS, which has to encrypt', async () => {
    const { left } = await pairOf(certificatePair);
    expect(left.transport.openPipe!(1)).toBeUndefined();
  });
});
