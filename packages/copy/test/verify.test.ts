import { NbdError } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { verify } from '../src/index.js';
import { disk } from './disk.js';
import { Model } from './model.js';

/** Ranges of 512 bytes and more that are zero, some of which are told as holes: others may tell of others. */
function someHoles(bytes: Uint8Array, tell: (i: number) => boolean): { start: number; end: number }[] {
  const holes: { start: number; end: number }[] = [];
  for (let at = 0, i = 0; at < bytes.length; at += 512, i++) {
    const end = Math.min(at + 512, bytes.length);
    if (tell(i) && bytes.subarray(at, end).every((byte) => byte === 0)) holes.push({ start: at, end });
  }
  return holes;
}

const options = fc.record({
  requestSize: fc.constantFrom(4096, 65_536, 131_072),
  requests: fc.integer({ min: 1, max: 8 }),
  ignoreExtents: fc.boolean(),
});

describe('verify', () => {
  test('finds disks equal, whatever their extents say, and what is beyond the source does not matter', async () => {
    await fc.assert(
      fc.asyncProperty(
        disk,
        options,
        fc.record({
          delayed: fc.boolean(),
          minimum: fc.constantFrom(1, 512, 4096),
          tell: fc.integer({ min: 1, max: 5 }),
        }),
        async ({ bytes, holes }, options, { delayed, minimum, tell }) => {
          const larger = new Uint8Array(Math.ceil(bytes.length / minimum) * minimum + minimum).fill(0xee);
          larger.set(bytes);
          const source = new Model(bytes, { holes, delayed });
          const destination = new Model(larger, { minimum, holes: someHoles(bytes, (i) => i % tell === 0) });
          await verify(source, destination, options);
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test('finds the first byte that differs', async () => {
    await fc.assert(
      fc.asyncProperty(
        disk.filter(({ bytes }) => bytes.length > 0),
        options,
        fc.array(fc.nat(), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async ({ bytes, holes }, options, places, isSource) => {
          const changed = bytes.slice();
          const wrong = places.map((place) => place % bytes.length);
          for (const at of wrong) changed[at] = bytes[at]! ^ 0x55;
          const first = Math.min(...wrong);
          const isZero = someHoles(changed, () => true);
          const left = new Model(isSource ? changed : bytes, {
            holes: isSource ? isZero : holes,
            delayed: true,
          });
          const right = new Model(isSource ? bytes : changed, { holes: isSource ? holes : isZero });
          await expect(verify(left, right, options)).rejects.toMatchObject({
            code: 'EIO',
            offset: BigInt(first),
          });
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test('says what is where', async () => {
    const source = new Model(new Uint8Array(200_000).fill(7));
    const destination = new Model(new Uint8Array(200_000).fill(7, 0, 99_999));
    await expect(
      verify(source, destination, { names: { source: 'a.raw', destination: 'b.raw' } }),
    ).rejects.toThrow('b.raw differs from a.raw at offset 99999: it has 0x00 there instead of 0x07');
  });

  test('compares only what it is told to', async () => {
    const source = new Model(new Uint8Array(1 << 20));
    const destination = new Model(new Uint8Array(1 << 20).fill(1, 0, 65_536).fill(1, 131_072));
    await verify(source, destination, { start: 65_536n, end: 131_072n });
    await expect(verify(source, destination, { start: 65_536n, end: 131_073n })).rejects.toThrow('131072');
  });

  test('reads neither side where both are holes, and one where only the other is', async () => {
    const source = new Model(new Uint8Array(262_144), { holes: [{ start: 0, end: 131_072 }] });
    const destination = new Model(new Uint8Array(262_144), { holes: [{ start: 65_536, end: 262_144 }] });
    await verify(source, destination);
    expect(source.calls).toEqual([{ what: 'read', start: 131_072, length: 131_072 }]);
    expect(destination.calls).toEqual([{ what: 'read', start: 0, length: 65_536 }]);
  });

  test('refuses a destination that is smaller', async () => {
    await expect(verify(new Model(new Uint8Array(2)), new Model(new Uint8Array(1)))).rejects.toMatchObject({
      code: 'ENOSPC',
    });
  });

  test('names the side whose read fails', async () => {
    const failing = new Model(new Uint8Array(262_144).fill(1), { delayed: true });
    failing.read = () => Promise.reject(new NbdError('EIO', 'medium error'));
    await expect(verify(new Model(new Uint8Array(262_144).fill(1)), failing)).rejects.toThrow(
      'reading the destination failed at offset 0: EIO, medium error',
    );
  });
});
