import { NbdError, overrideDevice } from '@nbd/protocol';
import { overridePlugin } from '@nbd/plugin';
import { describe, expect, test } from 'vitest';
import { noextents, offset, truncate } from '../src/index.js';
import { bytesOf, disk, extentsOf, opened, request, scribble } from './disks.js';

const SIZE = 1n << 20n;

describe('offset', () => {
  test('shows a part of the disk, with its extents and holes', async () => {
    const inner = await disk(SIZE);
    await (
      await inner.open(request)
    ).write!(128n << 10n, new Uint8Array(65_536).fill(9));
    const device = await opened(offset, '64K range=160K', inner);
    expect(device.size).toBe(160n << 10n);
    expect(await extentsOf(device, 0n, device.size)).toEqual(['65536 3', '65536 0', '32768 3']);
    const holes: [bigint, bigint][] = [];
    await device.read(0n, new Uint8Array(131_072), {
      holes: { add: (at, length) => holes.push([at, length]) },
    });
    expect(holes).toEqual([[0n, 65_536n]]);
    await device.write!(0n, Uint8Array.of(7));
    expect(await bytesOf(await inner.open(request), 65_536n, 1)).toEqual(Uint8Array.of(7));
  });

  test('errors tell where on the part they happened', async () => {
    const inner = await disk(SIZE);
    const broken = overridePlugin(inner, {
      open: async (request) =>
        overrideDevice(await inner.open(request), {
          read: (at) => Promise.reject(new NbdError('EIO', 'medium error', { offset: at + 1n })),
          write(at) {
            throw new NbdError('EIO', 'medium error', { offset: at + 2n });
          },
        }),
    });
    const device = await opened(offset, '64K', broken);
    await expect(device.read(100n, new Uint8Array(8))).rejects.toMatchObject({ code: 'EIO', offset: 101n });
    await expect((async () => device.write!(100n, new Uint8Array(8)))()).rejects.toMatchObject({
      offset: 102n,
    });
  });

  test.each([
    ['2M', 'offset=2097152 is past the end of the disk, which has 1048576 bytes'],
    ['1000K range=1M', 'the part is 1048576 bytes at 1024000, and the disk has only 1048576 bytes'],
  ])('%s is refused: %s', async (words, message) => {
    await expect(opened(offset, words, await disk(SIZE))).rejects.toMatchObject({ code: 'EINVAL', message });
  });

  test('a part that does not begin and end with the blocks of the disk is refused', async () => {
    const blocks = await disk(SIZE, { minimumBlock: 4096 });
    await expect(opened(offset, '512', blocks)).rejects.toThrow(
      'not whole blocks of the disk: they have 4096 bytes',
    );
    const device = await opened(offset, '4K', await disk(SIZE, { minimumBlock: 512 }));
    expect(device.info?.blockSize).toEqual({ minimum: 512, preferred: 4096, maximum: 1 << 20 });
    const odd = await opened(offset, '1K', await disk(SIZE, { minimumBlock: 512 }));
    expect(odd.info?.blockSize).toMatchObject({ preferred: 1024 });
  });

  test('what the disk within has not is not there, and what answers at once still does', async () => {
    const inner = await disk(SIZE);
    const lesser = overridePlugin(inner, {
      open: async (request) =>
        overrideDevice(await inner.open(request), { zero: undefined, trim: undefined, extents: undefined }),
    });
    const device = await opened(offset, '64K', lesser);
    expect(Object.keys(device).sort()).toEqual(['cache', 'close', 'flush', 'info', 'read', 'size', 'write']);
    expect(device.read(0n, new Uint8Array(8))).toBeUndefined();
  });
});

describe('truncate', () => {
  test.each([
    ['5M', 5n << 20n],
    ['100', 100n],
    ['round-up=1000', 1_049_000n],
    ['round-down=1000', 1_048_000n],
    ['1000001 round-up=512', 1_000_448n],
    ['0', 0n],
    ['', SIZE],
  ])('%s makes 1 MiB %d bytes', async (words, size) => {
    expect((await opened(truncate, words, await disk(SIZE))).size).toBe(size);
  });

  test('past the end there are zeroes, told as a hole', async () => {
    const inner = await disk(SIZE);
    await (
      await inner.open(request)
    ).write!(SIZE - 65_536n, new Uint8Array(65_536).fill(9));
    const device = await opened(truncate, '2M', inner);
    expect(await bytesOf(device, SIZE - 2n, 4)).toEqual(Uint8Array.of(9, 9, 0, 0));
    expect(await bytesOf(device, 2n * SIZE - 4n, 4)).toEqual(new Uint8Array(4));
    expect(await extentsOf(device, SIZE - 131_072n, SIZE)).toEqual(['65536 3', '65536 0', '917504 3']);
    expect(await extentsOf(device, SIZE + 5n, 10n)).toEqual(['10 3']);
    expect(await extentsOf(device, 0n, 2n * SIZE)).toEqual(['983040 3', '65536 0', '1048576 3']);
  });

  test('past the end only zeroes can be written; a write that fails has changed nothing', async () => {
    const device = await opened(truncate, '2M', await disk(SIZE));
    const across = async (bytes: Uint8Array) => device.write!(SIZE - 2n, bytes);
    await across(Uint8Array.of(1, 2, 0, 0));
    await expect(across(Uint8Array.of(3, 4, 0, 5))).rejects.toMatchObject({ code: 'ENOSPC', offset: SIZE });
    expect(await bytesOf(device, SIZE - 2n, 4)).toEqual(Uint8Array.of(1, 2, 0, 0));
    await device.zero!(SIZE - 1n, 5n);
    await device.trim!(SIZE + 1n, 5n);
    await expect((async () => device.zero!(SIZE - 2n, 5n, { noHole: true }))()).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    expect(await bytesOf(device, SIZE - 2n, 4)).toEqual(Uint8Array.of(1, 0, 0, 0));
  });

  test('a size that is not whole blocks of the disk is refused', async () => {
    const inner = await disk(SIZE, { minimumBlock: 4096 });
    await expect(opened(truncate, 'round-up=1000', inner)).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(opened(truncate, '1000', inner)).rejects.toMatchObject({ code: 'EINVAL' });
  });
});

test('noextents tells of no holes, neither in extents nor in reads', async () => {
  const inner = await disk(SIZE);
  await scribble(await inner.open(request));
  const device = await opened(noextents, '', inner);
  expect(device).not.toHaveProperty('extents');
  const holes: bigint[] = [];
  await device.read(0n, new Uint8Array(Number(SIZE)), { holes: { add: (at) => void holes.push(at) } });
  expect(holes).toEqual([]);
});
