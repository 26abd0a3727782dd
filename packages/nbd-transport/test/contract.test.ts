import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  inMemory,
  overSocketEvents,
  overStreams,
  overTcp,
  overUnixSocket,
  overWebSocket,
  type MakePair,
  type Pair,
} from './pairs.js';
import { certificatePair, pskPair } from './tls-pairs.js';

const TRANSPORTS: readonly [string, MakePair][] = [
  ['TCP', overTcp],
  ['Unix socket', overUnixSocket],
  ["a socket's 'data' events", overSocketEvents],
  ['TLS by certificate', certificatePair],
  ['TLS by pre-shared key', pskPair],
  ['streams', overStreams],
  ['memory', inMemory],
  ['WebSocket', overWebSocket],
];

describe.each(TRANSPORTS)('%s', (_name, makePair) => {
  test(
    'what one side writes the other receives, whatever the sizes and pauses',
    { timeout: 30_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(writes, { minLength: 1, maxLength: 8 }),
          fc.array(writes, { maxLength: 4 }),
          receiving,
          receiving,
          async (forth, back, left, right) => {
            const pair = await makePair({ left, right });
            await Promise.all([
              ...forth.map((chunks) => pair.left.send(...chunks)),
              ...back.map((chunks) => pair.right.send(...chunks)),
              pair.right.has(lengthOf(forth)),
              pair.left.has(lengthOf(back)),
            ]);
            expect(pair.right.bytes().equals(Buffer.concat(forth.flat()))).toBe(true);
            expect(pair.left.bytes().equals(Buffer.concat(back.flat()))).toBe(true);
            expect(pair.left.transport.queuedBytes).toBe(0);
            expect(pair.right.transport.queuedBytes).toBe(0);
            await finish(pair);
          },
        ),
        { numRuns: 12 },
      );
    },
  );

  test('what was written before end() still arrives, and then the end', async () => {
    const pair = await makePair();
    const sent = pair.left.send(pattern(300_000));
    pair.left.transport.end();
    await sent;
    expect(await pair.right.end).toBeUndefined();
    expect(pair.right.bytes().equals(pattern(300_000))).toBe(true);
    pair.right.transport.end();
    await pair.left.end;
    await finish(pair);
  });

  test('a session that stops in the middle gets the rest, and then the end', async () => {
    const pair = await makePair({ right: { buffers: [1000], pauseEvery: 1 } });
    const sent = pair.left.send(pattern(20_000));
    pair.left.transport.end();
    await sent;
    expect(await pair.right.end).toBeUndefined();
    expect(pair.right.bytes().equals(pattern(20_000))).toBe(true);
    pair.right.transport.end();
    await pair.left.end;
    await finish(pair);
  });

  test('a side that ends is told of its end too, though the peer does not answer', async () => {
    const pair = await makePair();
    pair.left.transport.end();
    await pair.left.end;
    await finish(pair);
  });

  test('destroy ends both sides, and gives its own the reason', async () => {
    const pair = await makePair();
    const reason = new Error('the cookie is unknown');
    pair.left.transport.destroy(reason);
    expect(await pair.left.end).toBe(reason);
    await pair.right.end;
    await finish(pair);
  });

  test('every write is released once, with an error where the connection is gone', async () => {
    const pair = await makePair();
    pair.left.transport.destroy();
    await pair.left.end;
    await expect(pair.left.send(pattern(10))).rejects.toThrow();
    expect(pair.left.transport.queuedBytes).toBe(0);
    await finish(pair);
  });

  test('writes that were under way at the end are released', async () => {
    const pair = await makePair({ right: { buffers: [1], pauseEvery: 1 } });
    const sends = Promise.allSettled(Array.from({ length: 10 }, () => pair.left.send(pattern(1 << 20))));
    await pair.right.has(1);
    pair.right.transport.destroy();
    await pair.left.end;
    await sends;
    expect(pair.left.transport.queuedBytes).toBe(0);
    await finish(pair);
  });

  test('nothing more is received by a session that has destroyed its transport', async () => {
    let pieces = 0;
    const pair = await makePair({
      right: {
        buffers: [1],
        watch: () => {
          if (++pieces === 2) pair.right.transport.destroy();
          return true;
        },
      },
    });
    const sent = pair.left.send(pattern(100));
    await pair.right.end;
    await sent.catch(() => undefined);
    await pair.left.end;
    expect(pair.right.bytes()).toHaveLength(2);
    await finish(pair);
  });
});

const writes = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 150_000 })).map((n) => pattern(n)),
  { minLength: 1, maxLength: 5 },
);

const receiving = fc.record({
  buffers: fc.array(fc.oneof(fc.integer({ min: 1000, max: 9000 }), fc.integer({ min: 1, max: 100_000 })), {
    minLength: 1,
    maxLength: 4,
  }),
  pauseEvery: fc.integer({ min: 0, max: 5 }),
});

/** Bytes of which each piece looks different. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + length) & 0xff;
  return bytes;
}

function lengthOf(writes: readonly (readonly Uint8Array[])[]): number {
  return writes.flat().reduce((sum, chunk) => sum + chunk.length, 0);
}

async function finish(pair: Pair): Promise<void> {
  pair.left.transport.destroy();
  pair.right.transport.destroy();
  await Promise.all([pair.left.end, pair.right.end, pair.close()]);
  expect([...pair.left.violations, ...pair.right.violations]).toEqual([]);
}
