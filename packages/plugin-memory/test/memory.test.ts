import { checkDevice } from '@nbd/plugin/testing';
import type { BlockDevice } from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import memory from '../src/index.js';

const KiB4 = 4096n;

async function open(...words: string[]): Promise<BlockDevice> {
  const plugin = await memory.fromArguments(words);
  return plugin.open({ exportName: '', readOnly: false });
}

async function contentOf(device: BlockDevice, offset: bigint, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await device.read(offset, into);
  return into;
}

describe.each(['1', '511', '4096', '1M', '1000001', '7E', '9223372036854775807'])(
  'a disk of %s bytes',
  (size) => {
    test('keeps the contract of a device', async () => {
      const plugin = await memory.fromArguments([size]);
      await checkDevice(() => plugin.open({ exportName: '', readOnly: false }));
    }, 60_000);
  },
);

test('a disk larger than 2^63-1 bytes is refused', async () => {
  await expect(open('8E')).rejects.toMatchObject({ code: 'EINVAL' });
});

test('all connections see one disk, whatever name they ask for', async () => {
  const plugin = await memory.fromArguments(['1M']);
  const one = await plugin.open({ exportName: '', readOnly: false });
  const other = await plugin.open({ exportName: 'b', readOnly: false });
  await one.write!(70_000n, Uint8Array.of(1, 2, 3));
  expect(await contentOf(other, 69_999n, 5)).toEqual(Uint8Array.of(0, 1, 2, 3, 0));
  await one.close?.();
  expect(await contentOf(other, 70_000n, 3)).toEqual(Uint8Array.of(1, 2, 3));
});

test('past max-memory writes fail with ENOSPC, all else goes on', async () => {
  const device = await open('7E', 'max-memory=8k');
  const block = new Uint8Array(4096).fill(1);
  await device.write!(0n, block);
  await device.write!(2n ** 60n, block);
  await expect(async () => device.write!(2n ** 61n, block)).rejects.toMatchObject({ code: 'ENOSPC' });
  await device.write!(0n, block.fill(2));
  await device.write!(2n ** 61n, new Uint8Array(4096));
  expect(await contentOf(device, 2n ** 60n, 1)).toEqual(Uint8Array.of(1));
  await device.trim!(2n ** 60n, KiB4);
  await device.write!(2n ** 61n, block);
});

test('all calls return at once: nothing waits for a promise', async () => {
  const device = await open('1G');
  const into = new Uint8Array(4096);
  expect(device.write!(1000n, into.fill(1))).toBeUndefined();
  expect(device.read(1000n, into)).toBeUndefined();
  expect(device.zero!(1000n, 100n)).toBeUndefined();
  expect(device.trim!(0n, 8192n)).toBeUndefined();
  expect(device.flush!()).toBeUndefined();
  expect(device.extents!(0n, KiB4, { add: () => true })).toBeUndefined();
});
