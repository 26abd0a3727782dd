import { overridePlugin } from '@nbd/plugin';
import { overrideDevice } from '@nbd/protocol';
import { expect, test } from 'vitest';
import { cow } from '../src/index.js';
import { bytesOf, disk, extentsOf, opened, request, scribble } from './disks.js';

const SIZE = 1n << 20n;

test('what is written is there on all connections, and the disk within is as it was', async () => {
  const inner = await disk(SIZE, { late: true });
  const base = await inner.open(request);
  await scribble(base);
  const before = await bytesOf(base, 0n, Number(SIZE));

  const plugin = (await cow.create({}))(inner);
  const one = await plugin.open(request);
  const other = await plugin.open(request);
  await one.write!(65_530n, new Uint8Array(10).fill(0xaa));
  await other.zero!(3n * 65_536n, 65_536n);
  await one.trim!(6n * 65_536n, 65_536n);
  expect(await bytesOf(other, 65_529n, 12)).toEqual(Uint8Array.of(1, ...new Array<number>(10).fill(0xaa), 0));
  await one.close?.();
  expect(await bytesOf(other, 65_530n, 1)).toEqual(Uint8Array.of(0xaa));
  expect(await bytesOf(other, 3n * 65_536n, 65_536)).toEqual(new Uint8Array(65_536));
  await other.close?.();

  const again = await plugin.open(request);
  expect(await bytesOf(again, 65_530n, 1)).toEqual(Uint8Array.of(0xaa));
  await plugin.close?.();
  const after = await bytesOf(base, 0n, Number(SIZE));
  expect(Buffer.compare(after, before)).toBe(0);
});

test('extents are those of what was written and, elsewhere, of the disk within', async () => {
  const inner = await disk(SIZE);
  await (
    await inner.open(request)
  ).write!(0n, new Uint8Array(65_536).fill(1));
  const device = await opened(cow, '', inner);
  await device.write!(131_072n, new Uint8Array(4096).fill(2));
  await device.zero!(4096n, 4096n);
  expect(await extentsOf(device, 0n, SIZE)).toEqual([
    '4096 0',
    '4096 3',
    '57344 0',
    '65536 3',
    '4096 0',
    '913408 3',
  ]);
});

test('unaligned writes to one block at once all take effect', async () => {
  const inner = await disk(SIZE, { late: true });
  await scribble(await inner.open(request));
  const device = await opened(cow, '', inner);
  const expected = new Uint8Array(4096).fill(1);
  const writes = Array.from({ length: 64 }, async (_, n) => {
    const piece = new Uint8Array(37).fill(100 + n);
    expected.set(piece, n * 60);
    await device.write!(BigInt(n * 60), piece);
  });
  await Promise.all(writes);
  expect(await bytesOf(device, 0n, 4096)).toEqual(expected);
});

test('a disk that can only be read becomes one to write to, and is asked for read-only', async () => {
  const inner = await disk(SIZE);
  const requests: boolean[] = [];
  const readOnly = overridePlugin(inner, {
    async open(request) {
      requests.push(request.readOnly);
      const device = await inner.open(request);
      return overrideDevice(device, { info: { readOnly: true }, write: undefined, flush: undefined });
    },
  });
  const device = await opened(cow, '', readOnly);
  expect(device.info).toEqual({ multiConn: true, fua: true, fastZero: true });
  await device.write!(5n, Uint8Array.of(5));
  await device.flush!();
  expect(await bytesOf(device, 5n, 1)).toEqual(Uint8Array.of(5));
  expect(requests).toEqual([true]);
});

test('each export has a layer of its own, closed with the plugin', async () => {
  const closed: string[] = [];
  const plugin = (await cow.create({}))({
    name: 'plugin-several',
    exports: () => [{ name: 'a' }, { name: 'b' }],
    open: ({ exportName }) => ({
      size: 4096n,
      read: (_offset, into) => void into.fill(exportName.charCodeAt(0)),
      close: () => void closed.push(exportName),
    }),
  });
  const [a, b] = [
    await plugin.open({ ...request, exportName: 'a' }),
    await plugin.open({ ...request, exportName: 'b' }),
  ];
  await a.write!(0n, Uint8Array.of(1));
  expect(await bytesOf(a, 0n, 2)).toEqual(Uint8Array.of(1, 97));
  expect(await bytesOf(b, 0n, 2)).toEqual(Uint8Array.of(98, 98));
  await a.close?.();
  expect(closed).toEqual([]);
  await plugin.close!();
  expect(closed).toEqual(['a', 'b']);
});

test('a plugin that refuses a connection refuses it through the filter, too', async () => {
  const inner = await disk(SIZE);
  let refused = false;
  const guarded = overridePlugin(inner, {
    open(request) {
      if (refused) throw new Error('not you');
      return inner.open(request);
    },
  });
  const plugin = (await cow.create({}))(guarded);
  await plugin.open(request);
  refused = true;
  await expect(plugin.open(request)).rejects.toThrow('not you');
});

test('past max-memory writes fail with ENOSPC', async () => {
  const device = await opened(cow, 'max-memory=8k', await disk(SIZE));
  await device.write!(0n, new Uint8Array(8192).fill(1));
  await expect((async () => device.write!(8192n, Uint8Array.of(1)))()).rejects.toMatchObject({
    code: 'ENOSPC',
  });
});
