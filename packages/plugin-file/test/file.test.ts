import {
  chmodSync,
  closeSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { checkDevice } from '@nbd/plugin/testing';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { contentOf, extentsOf, openDisk, setUp } from './open.js';
import { PLACES, temporaryDirectory } from './temporary.js';

const MiB = 2 ** 20;
const SIZE = 2 * MiB + 1234;

describe.each(PLACES)('a file in %s', (place) => {
  const directory = temporaryDirectory(place);

  function sparseFile(name: string, size = SIZE): string {
    const path = join(directory, name);
    writeFileSync(path, '');
    truncateSync(path, size);
    return path;
  }

  test.each([1, 511, 4096, SIZE])(
    'of %d bytes keeps the contract of a device',
    async (size) => {
      const plugin = await setUp([sparseFile(`contract-${size}`, size)]);
      await checkDevice(() => plugin.open({ exportName: '', readOnly: false }));
    },
    60_000,
  );

  test('has the bytes that were written, through random operations', async () => {
    const path = sparseFile('model');
    const operation = fc.record({
      kind: fc.constantFrom('write', 'write', 'zero', 'reserve', 'trim', 'read', 'flush'),
      offset: fc.nat(SIZE - 1),
      length: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: MiB })),
      byte: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 40 }), async (operations) => {
        truncateSync(path, 0);
        truncateSync(path, SIZE);
        const plugin = await setUp([path, 'lock=off']);
        const device = await plugin.open({ exportName: '', readOnly: false });
        const model = new Uint8Array(SIZE);
        for (const { kind, offset, length: wanted, byte } of operations) {
          const length = Math.min(wanted, SIZE - offset);
          const at = BigInt(offset);
          if (kind === 'write') {
            await device.write!(at, new Uint8Array(length).fill(byte));
            model.fill(byte, offset, offset + length);
          } else if (kind === 'zero' || kind === 'reserve') {
            await device.zero!(at, BigInt(length), { noHole: kind === 'reserve' });
            model.fill(0, offset, offset + length);
          } else if (kind === 'trim') {
            await device.trim!(at, BigInt(length));
            model.fill(0, offset, offset + length);
          } else if (kind === 'flush') {
            await device.flush!();
          } else {
            const content = await contentOf(device, at, length);
            expect(Buffer.compare(content, model.subarray(offset, offset + length))).toBe(0);
          }
        }
        for (const { offset, length, flags } of await extentsOf(device, 0n, BigInt(SIZE))) {
          if (flags === 0) continue;
          expect(flags).toBe(3);
          expect(isZero(model.subarray(Number(offset), Number(offset + length)))).toBe(true);
        }
        expect(Buffer.compare(readFileSync(path), model)).toBe(0);
        await plugin.close?.();
      }),
      { numRuns: 25 },
    );
  }, 120_000);

  test('tells its holes, and gives back the space of what is trimmed and zeroed', async () => {
    const path = sparseFile('holes', 4 * MiB);
    const device = await openDisk([path]);
    expect(await extentsOf(device, 0n, BigInt(4 * MiB))).toEqual([
      { offset: 0n, length: BigInt(4 * MiB), flags: 3 },
    ]);
    await device.write!(BigInt(MiB), new Uint8Array(2 * MiB).fill(1));
    expect(await extentsOf(device, 0n, BigInt(4 * MiB))).toEqual([
      { offset: 0n, length: BigInt(MiB), flags: 3 },
      { offset: BigInt(MiB), length: BigInt(2 * MiB), flags: 0 },
      { offset: BigInt(3 * MiB), length: BigInt(MiB), flags: 3 },
    ]);
    const full = statSync(path).blocks;
    await device.trim!(BigInt(MiB), BigInt(MiB));
    await device.flush!();
    expect(statSync(path).blocks).toBeLessThanOrEqual(full - MiB / 512);
    await device.zero!(BigInt(2 * MiB), BigInt(MiB), { fastZero: true });
    await device.flush!();
    expect(statSync(path).blocks).toBeLessThanOrEqual(full - (2 * MiB) / 512);
    await device.zero!(0n, BigInt(MiB), { noHole: true });
    await device.flush!();
    expect(statSync(path).blocks).toBeGreaterThanOrEqual(MiB / 512);
    expect(isZero(await contentOf(device, 0n, 4 * MiB))).toBe(true);
  });

  test('has one content and one flush for all connections', async () => {
    const plugin = await setUp([sparseFile('shared')]);
    const one = await plugin.open({ exportName: '', readOnly: false });
    const other = await plugin.open({ exportName: '', readOnly: false });
    expect(one.info).toMatchObject({ multiConn: true });
    await one.write!(5n, Uint8Array.of(1, 2, 3));
    expect(await contentOf(other, 4n, 5)).toEqual(Uint8Array.of(0, 1, 2, 3, 0));
    await Promise.all([one.flush!(), other.flush!(), other.flush!()]);
    await one.close?.();
    expect(await contentOf(other, 5n, 3)).toEqual(Uint8Array.of(1, 2, 3));
  });

  test('that somebody truncates gives EIO, and says so', async () => {
    const path = sparseFile('truncated');
    const device = await openDisk([path]);
    truncateSync(path, 10_000);
    expect(isZero(await contentOf(device, 0n, 10_000))).toBe(true);
    for (const length of [4096, MiB]) {
      await expect(async () => device.read(9000n, new Uint8Array(length))).rejects.toMatchObject({
        code: 'EIO',
        message: expect.stringContaining('ends at 10000') as string,
      });
    }
    // What is gone is no hole: a copy would take it for zeroes.
    expect(() => device.extents!(0n, device.size, { add: () => true })).toThrow('ends at 10000');
  });

  test('that is open twice is refused the second time, unless lock=off', async () => {
    const path = sparseFile('locked');
    const first = await setUp([path]);
    await expect(setUp([path])).rejects.toMatchObject({
      code: 'EBUSY',
      message: expect.stringContaining('lock=off') as string,
    });
    await expect(setUp([path], { readOnly: true })).rejects.toMatchObject({ code: 'EBUSY' });
    await setUp([path, 'lock=off']);
    await first.close?.();
    await setUp([path], { readOnly: true });
    await setUp([path], { readOnly: true });
    await expect(setUp([path])).rejects.toMatchObject({ code: 'EBUSY' });
  });
});

const directory = temporaryDirectory();

test('a file that nobody may write is served read-only', async () => {
  const path = join(directory, 'read-only');
  writeFileSync(path, 'abc');
  chmodSync(path, 0o444);
  const device = await openDisk([path]);
  expect(device.info).toMatchObject({ readOnly: true });
  expect(await contentOf(device, 0n, 3)).toEqual(new TextEncoder().encode('abc'));
});

test('a server that only reads does not open the file for writing', async () => {
  const path = join(directory, 'reader');
  writeFileSync(path, 'abc');
  const device = await openDisk([path], { readOnly: true });
  expect(device.info).toMatchObject({ readOnly: true });
  await expect(async () => device.write!(0n, Uint8Array.of(1))).rejects.toThrow();
});

test('what is written elsewhere is read', async () => {
  const path = join(directory, 'elsewhere');
  writeFileSync(path, 'abc');
  const device = await openDisk([path]);
  expect(await contentOf(device, 0n, 3)).toEqual(new TextEncoder().encode('abc'));
  const fd = openSync(path, 'r+');
  writeSync(fd, 'xyz');
  closeSync(fd);
  expect(await contentOf(device, 0n, 3)).toEqual(new TextEncoder().encode('xyz'));
});

describe('what is no disk is refused', () => {
  test.each([
    [[], 'either file=PATH or dir=PATH'],
    [['a', 'dir=b'], 'either file=PATH or dir=PATH'],
    [[join(directory, 'absent')], 'ENOENT'],
    [[directory], 'Pass dir='],
    [['/dev/null'], 'neither a file nor a block device'],
    [['dir=/dev/null'], 'not a directory'],
    [[`dir=${join(directory, 'absent')}`], 'ENOENT'],
  ])('%j', async (words, message) => {
    await expect(setUp(words)).rejects.toThrow(message);
  });

  test('a socket', async () => {
    const path = join(directory, 'socket');
    const server = createServer().listen(path);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    await expect(setUp([path])).rejects.toThrow('neither a file nor a block device');
  });
});

function isZero(bytes: Uint8Array): boolean {
  return Buffer.alloc(bytes.length).equals(bytes);
}
