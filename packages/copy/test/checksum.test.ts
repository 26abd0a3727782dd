import { createHash } from 'node:crypto';
import { ExtentFlag, NbdError, type BlockDevice } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TreeHash } from '../src/checksum/tree-hash.js';
import { checksum } from '../src/index.js';
import { disk } from './disk.js';
import { Model } from './model.js';

const BLOCK = 65_536;

function sha256(...parts: Uint8Array[]): Uint8Array {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

/** The definition of the README, with everything in memory and no shortcuts. */
function treeChecksum(content: Uint8Array): string {
  let blocks = 1;
  while (blocks * BLOCK < content.length) blocks *= 2;
  const padded = new Uint8Array(blocks * BLOCK);
  padded.set(content);
  const hashes = Array.from({ length: blocks }, (_, i) =>
    sha256(Buffer.of(0), padded.subarray(i * BLOCK, (i + 1) * BLOCK)),
  );
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(content.length));
  return `nbd-tree-sha256:${Buffer.from(sha256(Buffer.of(2), size, rootOf(hashes))).toString('hex')}`;
}

function rootOf(hashes: Uint8Array[]): Uint8Array {
  if (hashes.length === 1) return hashes[0]!;
  const half = hashes.length / 2;
  return sha256(Buffer.of(1), rootOf(hashes.slice(0, half)), rootOf(hashes.slice(half)));
}

/** A disk of 7 EiB with one byte, at 5 EiB. */
const huge: BlockDevice = {
  size: 7n << 60n,
  read(offset, into) {
    into.fill(0);
    if (offset === 5n << 60n) into[0] = 0x78;
  },
  extents(offset, _length, sink) {
    const data = 5n << 60n;
    const hole = ExtentFlag.HOLE | ExtentFlag.ZERO;
    if (offset < data && !sink.add(data - offset, hole)) return;
    if (offset <= data && !sink.add(512n, 0)) return;
    sink.add(huge.size - data - 512n, hole);
  },
};

describe('the tree checksum', () => {
  // Made by the Python of the README.
  test.each([
    ['nothing', '', '3adf20c4a4ab177dc39099e27f2844a1fe0af02da7a0b7f6179cbc6effc7e8f1'],
    ['a zero', '\0', '25214e302bf3cee137a3dc1506a6120812b7da812da83af64641ec4f20f06ec3'],
    ['a short block', 'hello, world', '77e198bbffc8deeb97b94e7cc55666d85f4387b8d8711721bf670afe0d89fd80'],
    ['a block', 'a'.repeat(65_536), '47b9458aeddb6e4912d73a29c3484c575a481ec9db19eb08e3e82adedb68bce6'],
    [
      'a block and a byte',
      'a'.repeat(65_537),
      '6c5c8edb6af741f0248e10b29b51674351c250e618c90b3248407076ae11698a',
    ],
    [
      'zeroes and a byte',
      `${'\0'.repeat(3 * 65_536)}b`,
      '4a14ab7102f67908e2ecfd2ad4a4078cfc3b0b5bcbffaa37da8b11749bb87a9c',
    ],
  ])('of %s is what it always was', async (_, content, digits) => {
    expect(await checksum(new Model(Buffer.from(content)))).toBe(`nbd-tree-sha256:${digits}`);
  });

  test('of a disk of 7 EiB takes no time where it is zero', async () => {
    expect(await checksum(huge)).toBe(
      'nbd-tree-sha256:d4873d246143935f60945306b2b5273e48cfb65cb4e3e90f3bde8747ed42df82',
    );
  });

  test('depends on the content alone, not on extents or on how it is read', async () => {
    await fc.assert(
      fc.asyncProperty(
        disk,
        fc.record({
          delayed: fc.boolean(),
          minimum: fc.constantFrom(1, 512, 4096, 65_536),
          maximum: fc.constantFrom(65_536, 1 << 25),
          requestSize: fc.constantFrom(4096, 65_536, 262_144),
          requests: fc.integer({ min: 1, max: 8 }),
          ignoreExtents: fc.boolean(),
        }),
        async ({ bytes, holes }, { delayed, minimum, maximum, ...options }) => {
          const whole = new Uint8Array(Math.ceil(bytes.length / minimum) * minimum);
          whole.set(bytes);
          const device = new Model(whole, { holes, delayed, minimum, maximum });
          expect(await checksum(device, options)).toBe(treeChecksum(whole));
          expect(await checksum(device, { ...options, size: BigInt(bytes.length) })).toBe(
            treeChecksum(bytes),
          );
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test('takes any number of zero blocks at once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 3 })), {
          maxLength: 12,
        }),
        (parts) => {
          const runs = new TreeHash();
          const single = new TreeHash();
          const hash = sha256(Buffer.of(7));
          for (const [zeroes, data] of parts) {
            runs.addZeroes(BigInt(zeroes));
            for (let i = 0; i < zeroes; i++) single.addZeroes(1n);
            for (let i = 0; i < data; i++) for (const tree of [runs, single]) tree.addHashes(hash);
          }
          expect(runs.root(1n)).toEqual(single.root(1n));
        },
      ),
    );
  });

  test('does not read holes', async () => {
    const bytes = new Uint8Array(1 << 20).fill(7, 131_072, 196_608);
    const device = new Model(bytes, {
      holes: [
        { start: 0, end: 131_072 },
        { start: 196_608, end: 1 << 20 },
      ],
    });
    await checksum(device);
    expect(device.calls).toEqual([{ what: 'read', start: 131_072, length: 65_536 }]);
  });
});

describe('the sha256 checksum', () => {
  test('is that of all bytes', async () => {
    await fc.assert(
      fc.asyncProperty(disk, fc.boolean(), async ({ bytes, holes }, delayed) => {
        const device = new Model(bytes, { holes, delayed });
        const expected = createHash('sha256').update(bytes).digest('hex');
        expect(await checksum(device, { algorithm: 'sha256', requests: 3 })).toBe(`sha256:${expected}`);
      }),
      { numRuns: 50 },
    );
  });
});

describe.each(['tree', 'sha256'] as const)('a checksum (%s)', (algorithm) => {
  test('tells how far it is', async () => {
    const device = new Model(new Uint8Array(1 << 20).fill(1), { delayed: true });
    const seen: bigint[] = [];
    await checksum(device, { algorithm, requestSize: BLOCK, progress: ({ done }) => seen.push(done) });
    expect(seen).toEqual(Array.from({ length: 16 }, (_, i) => BigInt((i + 1) * BLOCK)));
  });

  test('has no more requests under way than it may', async () => {
    const device = new Model(new Uint8Array(1 << 20).fill(1), { delayed: true });
    await checksum(device, { algorithm, requestSize: BLOCK, requests: 3 });
    expect(device.mostAtOnce).toBeGreaterThan(1);
    expect(device.mostAtOnce).toBeLessThanOrEqual(3);
  });

  test('fails where the device does, once nothing is under way any more', async () => {
    const device = new Model(new Uint8Array(1 << 20).fill(1), { delayed: true });
    const read = device.read.bind(device);
    let underWay = 0;
    device.read = async (offset, into) => {
      underWay++;
      await read(offset, into);
      underWay--;
      if (offset >= 524_288n) throw new NbdError('EIO', 'medium error');
    };
    await expect(checksum(device, { algorithm, requestSize: BLOCK })).rejects.toThrow(
      'reading the source failed at offset 524288: EIO, medium error',
    );
    expect(underWay).toBe(0);
  });

  test('can be cancelled', async () => {
    const stop = new AbortController();
    const device = new Model(new Uint8Array(8 << 20).fill(1));
    const result = checksum(device, {
      algorithm,
      signal: stop.signal,
      requests: 2,
      progress: () => {
        stop.abort();
      },
    });
    await expect(result).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(device.calls.length).toBeLessThan(5);
    await expect(checksum(device, { algorithm, signal: stop.signal })).rejects.toMatchObject({
      code: 'ECANCELED',
    });
  });
});
