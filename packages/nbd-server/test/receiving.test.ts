import { Command } from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { connectChoppily } from './raw/choppy.js';
import { memoryDisk, serveRaw } from './raw/serve-raw.js';

/** A disk whose writes take a turn. */
function slowDisk(size: number) {
  const disk = memoryDisk(size);
  return {
    ...disk,
    async write(offset: bigint, from: Uint8Array) {
      await new Promise((resolve) => setImmediate(resolve));
      disk.bytes.set(from, Number(offset));
    },
  };
}

const pattern = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

describe('a transport that has asked for its next buffer before the session knew of a payload', () => {
  // Each piece ends within the payload of a write that waits for room.
  test.each([1, 2, 7, 64])('with %s requests at once every payload arrives whole', async (requests) => {
    const length = 10_000;
    const disk = slowDisk(40 * length);
    const { client } = serveRaw(disk, { limits: { requests }, connect: connectChoppily(() => 25_000) });
    await client.go();
    for (let i = 0; i < 40; i++) {
      const at = BigInt(i * length);
      client.request({
        command: Command.WRITE,
        cookie: BigInt(i),
        offset: at,
        length: 10_000n,
        payload: pattern(length, i),
      });
    }
    for (let i = 0; i < 40; i++) expect((await client.simpleReply()).error).toBe(0);
    const wrong = Array.from({ length: 40 }, (_, i) => i).filter(
      (i) => Buffer.compare(disk.bytes.subarray(i * length, (i + 1) * length), pattern(length, i)) !== 0,
    );
    expect(wrong).toEqual([]);
  });
});
