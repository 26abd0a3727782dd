import { NbdError } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { copy, copyStream, type ByteSource } from '../src/index.js';
import { disk } from './disk.js';
import { Model, type ModelOptions } from './model.js';

const blocks = fc.constantFrom(1, 512, 4096, 16_384);
const same = (left: Uint8Array, right: Uint8Array) => Buffer.compare(left, right) === 0;

describe('copy', () => {
  test('makes the destination equal, whatever either side is like, and leaves what is beyond alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        disk,
        fc.record({
          delayed: fc.boolean(),
          slow: fc.boolean(),
          withoutZero: fc.boolean(),
          minimum: blocks,
          extra: fc.integer({ min: 0, max: 3 }),
          requestSize: fc.constantFrom(4096, 32_768, 262_144),
          requests: fc.integer({ min: 1, max: 8 }),
          sparse: fc.constantFrom(0, 512, 4096, 65_536),
          allocated: fc.boolean(),
          ignoreExtents: fc.boolean(),
        }),
        async ({ bytes, holes }, { delayed, slow, minimum, extra, withoutZero, ...options }) => {
          const requestSize = Math.max(options.requestSize, minimum);
          const size = Math.ceil(bytes.length / minimum) * minimum + extra * minimum;
          const source = new Model(bytes.slice(), { holes, delayed });
          const destination = new Model(new Uint8Array(size).fill(0xee), {
            delayed: slow,
            minimum,
            withoutZero,
          });
          const { done } = await copy(source, destination, { ...options, requestSize });
          expect(done).toBe(source.size);
          expect(same(destination.bytes.subarray(0, bytes.length), bytes)).toBe(true);
          expect(destination.bytes.subarray(bytes.length).every((byte) => byte === 0xee)).toBe(true);
          expect(Math.max(source.mostAtOnce, destination.mostAtOnce)).toBeLessThanOrEqual(
            options.requests * 64,
          );
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test('does not read holes, and does not write zeroes to a destination that is zero', async () => {
    const bytes = new Uint8Array(1 << 20);
    bytes.fill(7, 65_536, 131_072);
    const holes = [
      { start: 0, end: 65_536 },
      { start: 131_072, end: 1 << 20 },
    ];
    const source = new Model(bytes, { holes });
    const destination = new Model(new Uint8Array(1 << 20));
    await copy(source, destination, { destinationIsZero: true });
    expect(source.calls).toEqual([{ what: 'read', start: 65_536, length: 65_536 }]);
    expect(destination.calls.map(({ what }) => what)).toEqual(['write', 'flush']);
  });

  test('zeroes holes in one call each, and finds zeroes in data', async () => {
    const bytes = new Uint8Array(1 << 20);
    bytes.fill(7, 0, 4096);
    bytes.fill(7, 12_288, 16_384);
    const source = new Model(bytes, { holes: [{ start: 16_384, end: 1 << 20 }] });
    const destination = new Model(new Uint8Array(1 << 20).fill(1));
    await copy(source, destination);
    const zeroed = destination.calls.filter(({ what }) => what === 'zero');
    expect(zeroed).toEqual([
      { what: 'zero', start: 4096, length: 8192 },
      { what: 'zero', start: 16_384, length: (1 << 20) - 16_384 },
    ]);
  });

  test('never has more requests under way than it may', async () => {
    const source = new Model(new Uint8Array(4 << 20).fill(1), { delayed: true });
    const destination = new Model(new Uint8Array(4 << 20), { delayed: true });
    await copy(source, destination, { requests: 3, requestSize: 65_536 });
    expect(source.mostAtOnce).toBeGreaterThan(1);
    expect(source.mostAtOnce).toBeLessThanOrEqual(3);
    expect(destination.mostAtOnce).toBeLessThanOrEqual(3);
  });

  test('refuses a destination that is too small, and writes nothing to it', async () => {
    const destination = new Model(new Uint8Array(1023));
    await expect(copy(new Model(new Uint8Array(1024)), destination)).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    expect(destination.calls).toEqual([]);
  });

  test('reports how far it is, never beyond what is written', async () => {
    const source = new Model(new Uint8Array(1 << 20).fill(1), { delayed: true });
    const destination = new Model(new Uint8Array(1 << 20), { delayed: true });
    const seen: bigint[] = [];
    await copy(source, destination, {
      requestSize: 65_536,
      progress: ({ done }) => {
        seen.push(done);
        expect(
          same(source.bytes.subarray(0, Number(done)), destination.bytes.subarray(0, Number(done))),
        ).toBe(true);
      },
    });
    expect(seen.at(-1)).toBe(1n << 20n);
    expect(seen).toEqual([...seen].sort((a, b) => Number(a - b)));
  });
});

describe('a copy that fails', () => {
  const failing = (
    what: 'read' | 'write' | 'zero' | 'flush' | 'extents',
    at: number,
    options: ModelOptions = {},
  ) => {
    const model = new Model(new Uint8Array(1 << 20).fill(1), {
      ...options,
      holes: [{ start: 524_288, end: 589_824 }],
    });
    const original = (model[what] as (...args: unknown[]) => unknown).bind(model);
    Object.defineProperty(model, what, {
      value: (offset: bigint, ...rest: unknown[]) => {
        if (what === 'flush' || Number(offset) >= at) throw new NbdError('EIO', 'medium error');
        return original(offset, ...rest);
      },
    });
    return model;
  };

  test.each([
    ['read', 300_000, /reading the source failed at offset 327680: EIO, medium error/],
    ['extents', 0, /asking the source for its extents failed at offset 0: EIO/],
  ] as const)('says so when the source fails to %s', async (what, at, message) => {
    const destination = new Model(new Uint8Array(1 << 20), { delayed: true });
    await expect(copy(failing(what, at), destination, { requestSize: 65_536 })).rejects.toThrow(message);
    expect(destination.calls.map((call) => call.what)).not.toContain('flush');
  });

  test.each([
    ['write', 700_000, /writing to the destination failed at offset 720896: EIO/],
    ['zero', 500_000, /zeroing the destination failed at offset 524288: EIO/],
    ['flush', 0, /flushing the destination failed: EIO/],
  ] as const)('says so when the destination fails to %s', async (what, at, message) => {
    const source = new Model(new Uint8Array(1 << 20).fill(1), { holes: [{ start: 524_288, end: 589_824 }] });
    await expect(copy(source, failing(what, at), { requestSize: 65_536 })).rejects.toThrow(message);
  });

  test('has no request under way any more when it says so', async () => {
    let underWay = 0;
    const slow = new Model(new Uint8Array(1 << 20).fill(1), { delayed: true });
    const read = slow.read.bind(slow);
    Object.defineProperty(slow, 'read', {
      value: async (offset: bigint, into: Uint8Array) => {
        underWay++;
        await read(offset, into);
        underWay--;
        if (offset === 131_072n) throw new NbdError('EIO', 'medium error');
      },
    });
    const destination = new Model(new Uint8Array(1 << 20), { delayed: true });
    await expect(copy(slow, destination, { requestSize: 65_536 })).rejects.toMatchObject({
      code: 'EIO',
      offset: 131_072n,
    });
    expect(underWay).toBe(0);
  });

  test('does not report what failed as done', async () => {
    const source = failing('read', 200_000, { delayed: true });
    let done = 0n;
    const result = copy(source, new Model(new Uint8Array(1 << 20)), {
      requestSize: 65_536,
      progress: (progress) => (done = progress.done),
    });
    await expect(result).rejects.toMatchObject({ code: 'EIO' });
    expect(done).toBeLessThanOrEqual(262_144n);
  });

  test('waits for writes under way when another one fails at once', async () => {
    const bytes = new Uint8Array(1 << 16);
    bytes.fill(1, 0, 4096);
    bytes.fill(1, 8192, 12_288);
    const destination = new Model(new Uint8Array(1 << 16).fill(1));
    let isUnderWay = false;
    Object.defineProperty(destination, 'write', {
      value: async () => {
        isUnderWay = true;
        await new Promise((resolve) => setImmediate(resolve));
        isUnderWay = false;
      },
    });
    Object.defineProperty(destination, 'zero', {
      value: () => {
        throw new NbdError('EIO', 'medium error');
      },
    });
    await expect(copy(new Model(bytes), destination)).rejects.toThrow(/zeroing the destination failed/);
    expect(isUnderWay).toBe(false);
  });

  test('can be cancelled', async () => {
    const stop = new AbortController();
    const source = new Model(new Uint8Array(8 << 20).fill(1), { delayed: true });
    const result = copy(source, new Model(new Uint8Array(8 << 20)), {
      signal: stop.signal,
      requests: 2,
      progress: ({ done }) => {
        if (done > 1_000_000n) stop.abort();
      },
    });
    await expect(result).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(source.calls.length).toBeLessThan(20);
  });
});

/** Gives `bytes` in pieces of odd sizes, as a pipe would. */
function streamOf(bytes: Uint8Array): ByteSource {
  let at = 0;
  return {
    async read(into) {
      await Promise.resolve();
      const piece = bytes.subarray(at, at + into.length);
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  };
}

describe('copyStream', () => {
  test('makes the start of the destination equal, whatever the length', async () => {
    await fc.assert(
      fc.asyncProperty(
        disk,
        blocks,
        fc.boolean(),
        fc.integer({ min: 0, max: 2 }),
        async ({ bytes }, minimum, delayed, extra) => {
          const size = (Math.ceil(bytes.length / minimum) + extra) * minimum;
          const destination = new Model(new Uint8Array(size).fill(0xee), { delayed, minimum });
          const { done, size: length } = await copyStream(streamOf(bytes), destination, {
            requestSize: 32_768,
            requests: 4,
          });
          expect([done, length]).toEqual([BigInt(bytes.length), BigInt(bytes.length)]);
          expect(same(destination.bytes.subarray(0, bytes.length), bytes)).toBe(true);
          expect(destination.bytes.subarray(bytes.length).every((byte) => byte === 0xee)).toBe(true);
        },
      ),
    );
  }, 60_000);

  test('finds zeroes', async () => {
    const bytes = new Uint8Array(1 << 20);
    bytes.fill(7, 65_536, 131_072);
    const destination = new Model(new Uint8Array(1 << 20));
    await copyStream(streamOf(bytes), destination, { destinationIsZero: true });
    expect(destination.calls.map(({ what, length }) => [what, length])).toEqual([
      ['write', 65_536],
      ['flush', 0],
    ]);
  });

  test('is an error when the stream is longer than the destination', async () => {
    const destination = new Model(new Uint8Array(100_000));
    const result = copyStream(streamOf(new Uint8Array(100_001).fill(1)), destination, {
      requestSize: 65_536,
    });
    await expect(result).rejects.toMatchObject({ code: 'ENOSPC', offset: 100_000n });
    expect(destination.calls.map(({ what }) => what)).not.toContain('flush');
  });

  test('is an error when the stream fails, with the offset', async () => {
    let reads = 0;
    const source: ByteSource = {
      read: (into) => {
        if (++reads === 3) throw new NbdError('EIO', 'torn');
        return Promise.resolve(into.length);
      },
    };
    const result = copyStream(source, new Model(new Uint8Array(1 << 20)), { requestSize: 4096 });
    await expect(result).rejects.toThrow('reading the source failed at offset 8192: EIO, torn');
  });
});
