import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadSystem } from '../src/system/index.js';
import { contentOf, extentsOf, openDisk } from './open.js';
import { temporaryDirectory } from './temporary.js';

const GIANT = 2n ** 63n - 1n;
const { system } = loadSystem();

// Only tmpfs and a few others take a file of 2^63-1 bytes.
describe.skipIf(system === undefined || !existsSync('/dev/shm'))('a file of 2^63-1 bytes', () => {
  const directory = temporaryDirectory('/dev/shm');

  async function giantFile(name: string): Promise<string> {
    const path = join(directory, name);
    const fd = openSync(path, 'w');
    await system!.write(fd, Uint8Array.of(1), GIANT - 1n);
    closeSync(fd);
    return path;
  }

  test('has its size, and tells what is in its last page and what is not before', async () => {
    const device = await openDisk([await giantFile('size')]);
    expect(device.size).toBe(GIANT);
    expect(device.info).toMatchObject({ readOnly: false });
    expect(await contentOf(device, GIANT - 2n, 2)).toEqual(Uint8Array.of(0, 1));
    const extents = await extentsOf(device, 0n, GIANT);
    expect(extents.map(({ flags }) => flags)).toEqual([3, 0]);
    expect(extents[1]!.length).toBeLessThanOrEqual(2n ** 21n);
  });

  test('tells data that is followed by nothing but the last page', async () => {
    const device = await openDisk([await giantFile('neighbour')]);
    await device.write!(GIANT - 5000n, Uint8Array.of(2));
    for (const at of [GIANT - 5000n, GIANT - 1n]) {
      const [extent] = await extentsOf(device, at, GIANT - at);
      expect(extent).toEqual({ offset: at, length: GIANT - at, flags: 0 });
    }
  });

  test('keeps what is written apart at positions that differ beyond 32, 53 and 62 bits', async () => {
    const device = await openDisk([await giantFile('model')]);
    const islands = [0n, 2n ** 32n, 2n ** 53n, 2n ** 53n + 2n ** 32n, 2n ** 62n].map((at) =>
      at < 32768n ? at : at - 32768n,
    );
    islands.push(GIANT - 65536n);
    const models = islands.map(() => new Uint8Array(65536));
    models.at(-1)![65535] = 1;
    const operation = fc.record({
      kind: fc.constantFrom('write', 'write', 'zero', 'trim', 'read'),
      island: fc.nat(islands.length - 1),
      offset: fc.nat(65535),
      length: fc.integer({ min: 1, max: 65536 }),
      byte: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 40 }), async (operations) => {
        for (const { kind, island, offset, length: wanted, byte } of operations) {
          const length = Math.min(wanted, 65536 - offset);
          const at = islands[island]! + BigInt(offset);
          const model = models[island]!.subarray(offset, offset + length);
          if (kind === 'write') await device.write!(at, model.fill(byte));
          else if (kind === 'zero') await device.zero!(at, BigInt(length));
          else if (kind === 'trim') await device.trim!(at, BigInt(length));
          else expect(Buffer.compare(await contentOf(device, at, length), model)).toBe(0);
          if (kind === 'zero' || kind === 'trim') model.fill(0);
        }
        for (const [index, at] of islands.entries()) {
          expect(Buffer.compare(await contentOf(device, at, 65536), models[index]!)).toBe(0);
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  test('is zeroed where it lacks a call by writing zeroes, but never slowly for those who ask for fast', async () => {
    const device = await openDisk([await giantFile('tmpfs')]);
    const at = 2n ** 60n;
    await device.write!(at, new Uint8Array(8192).fill(1));
    await expect(async () => device.zero!(at, 8192n, { noHole: true, fastZero: true })).rejects.toMatchObject(
      {
        code: 'ENOTSUP',
      },
    );
    expect(await contentOf(device, at, 1)).toEqual(Uint8Array.of(1));
    await device.zero!(at, 8192n, { noHole: true });
    expect(await contentOf(device, at, 2)).toEqual(Uint8Array.of(0, 0));
    expect(await extentsOf(device, at, 8192n)).toEqual([{ offset: at, length: 8192n, flags: 0 }]);
  });
});
