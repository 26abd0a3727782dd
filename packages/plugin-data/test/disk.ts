import type { BlockDevice } from '@nbd/protocol';
import type { Plugin, PluginHost } from '@nbd/plugin';
import data from '../src/index.js';

/** The disk of these words, as on a command line. */
export async function diskOf(...words: readonly string[]): Promise<BlockDevice> {
  return open(await data.fromArguments(words));
}

export async function open(plugin: Plugin): Promise<BlockDevice> {
  return plugin.open({ readOnly: false, exportName: '' });
}

/** A whole disk, which must be a small one. */
export async function bytesOf(device: BlockDevice): Promise<Uint8Array> {
  return read(device, 0n, Number(device.size));
}

export async function read(device: BlockDevice, offset: bigint, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await device.read(offset, into);
  return into;
}

export interface Extent {
  readonly length: bigint;
  readonly flags: number;
}

/** What one call of `extents` gives, to the sink's limit. */
export async function extentsOf(
  device: BlockDevice,
  offset = 0n,
  length = device.size - offset,
  most = Infinity,
): Promise<Extent[]> {
  const extents: Extent[] = [];
  await device.extents!(offset, length, {
    add: (part, flags) => extents.push({ length: part, flags }) < most,
  });
  return extents;
}

/** What setting the plugin up with these words says is wrong. */
export async function errorOf(words: readonly string[], host: Partial<PluginHost> = {}): Promise<string> {
  try {
    await data.fromArguments(words, host);
  } catch (error) {
    if (error instanceof Error && error.name === 'NbdError') return error.message;
    throw error;
  }
  throw new Error(`${words.join(' ')} is no error`);
}
