import type { Log, Plugin } from '@nbd/plugin';
import type { BlockDevice } from '@nbd/protocol';
import { onTestFinished } from 'vitest';
import file from '../src/index.js';

/** Sets the plugin up; it is closed when the test is over. */
export async function setUp(words: string[], host: { readOnly?: boolean; log?: Log } = {}): Promise<Plugin> {
  const plugin = await file.fromArguments(words, host);
  onTestFinished(() => plugin.close?.());
  return plugin;
}

/** A device of the plugin. It is closed when the test is over, as its user has not. */
export async function openDisk(words: string[], host: { readOnly?: boolean } = {}): Promise<BlockDevice> {
  const plugin = await setUp(words, host);
  const device = await plugin.open({ exportName: '', readOnly: host.readOnly ?? false });
  onTestFinished(() => device.close?.());
  return device;
}

export async function contentOf(device: BlockDevice, offset: bigint, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await device.read(offset, into);
  return into;
}

/** All extents of a range, in as many calls as it takes. */
export async function extentsOf(
  device: BlockDevice,
  offset: bigint,
  length: bigint,
): Promise<{ offset: bigint; length: bigint; flags: number }[]> {
  const extents: { offset: bigint; length: bigint; flags: number }[] = [];
  let at = offset;
  while (at < offset + length) {
    const before = at;
    await device.extents!(at, offset + length - at, {
      add(extent, flags) {
        extents.push({ offset: at, length: extent, flags });
        at += extent;
        return true;
      },
    });
    if (at === before) throw new Error('extents told nothing');
  }
  return extents;
}
