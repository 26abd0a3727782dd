import { overridePlugin, type Filter, type FilterModule, type Plugin } from '@nbd/plugin';
import { checkDevice } from '@nbd/plugin/testing';
import memory from '@nbd/plugin-memory';
import { overrideDevice, type Awaitable, type BlockDevice, type DeviceInfo } from '@nbd/protocol';

export const request = { exportName: '', readOnly: false };

export interface DiskOptions {
  /** Answers later, reads and writes in another order than they came in. */
  readonly late?: boolean;
  /** Bytes. */
  readonly minimumBlock?: number;
  readonly info?: DeviceInfo;
}

/** A disk in memory that fails the test if it is asked for what no device need take. */
export async function disk(size: bigint, options: DiskOptions = {}): Promise<Plugin> {
  const plugin = await memory.create({ size });
  return overridePlugin(plugin, {
    open: async (request) => strict(await plugin.open(request), options),
  });
}

function strict(device: BlockDevice, { late = false, minimumBlock = 1, info }: DiskOptions): BlockDevice {
  let closed = false;
  let calls = 0;
  const settle = (
    what: string,
    offset: bigint,
    length: bigint,
    call: () => Awaitable<void>,
  ): Awaitable<void> => {
    if (closed) throw new Error(`${what} of a disk that was closed`);
    const isInside = offset >= 0n && length > 0n && offset + length <= device.size;
    const isAligned = ((offset | length) & BigInt(minimumBlock - 1)) === 0n;
    if (!isInside || !isAligned) throw new Error(`${what} of ${length} bytes at ${offset} of ${device.size}`);
    if (!late) return call();
    const isSooner = calls++ % 2 === 0;
    return new Promise<void>((resolve) => {
      if (isSooner) setImmediate(resolve);
      else setImmediate(() => setImmediate(resolve));
    }).then(call);
  };
  return overrideDevice(device, {
    info: {
      ...device.info,
      ...info,
      ...(minimumBlock > 1 && {
        blockSize: { minimum: minimumBlock, preferred: Math.max(minimumBlock, 4096), maximum: 1 << 20 },
      }),
    },
    read: (offset, into, options) =>
      settle('read', offset, BigInt(into.length), () => device.read(offset, into, options)),
    write: (offset, from, options) =>
      settle('write', offset, BigInt(from.length), () => device.write!(offset, from, options)),
    zero: (offset, length, options) =>
      settle('zero', offset, length, () => device.zero!(offset, length, options)),
    trim: (offset, length, options) =>
      settle('trim', offset, length, () => device.trim!(offset, length, options)),
    cache: (offset, length) => settle('cache', offset, length, () => undefined),
    extents: (offset, length, sink, options) =>
      settle('extents', offset, length, () => device.extents!(offset, length, sink, options)),
    close() {
      closed = true;
    },
  });
}

/** Disks that answer at once, that answer later, and that take whole blocks only. */
export const KINDS = {
  'that answers at once': {},
  'that answers later': { late: true },
  'with blocks of 64K that answers later': { minimumBlock: 65_536, late: true },
} satisfies Readonly<Record<string, DiskOptions>>;

/** Checks that a disk within a filter keeps the contract of a device. */
export async function checkFilter(
  filter: Filter,
  inner: Plugin,
  prepare?: (device: BlockDevice) => Awaitable<void>,
): Promise<void> {
  const plugin = filter(inner);
  if (prepare) {
    const device = await inner.open(request);
    await prepare(device);
  }
  await checkDevice(() => plugin.open(request), { maxLength: 40_000, rounds: 20 });
  await plugin.close?.();
}

/** Something to see at places all over a disk. */
export async function scribble(device: BlockDevice): Promise<void> {
  const block = new Uint8Array(65_536);
  for (let at = 0n, n = 0; at + 65_536n <= device.size && n < 12; at += 3n * 65_536n, n++) {
    await device.write!(at, block.fill(n + 1));
  }
}

/** The disk within a filter that was set up with words, as on a command line. */
export async function opened(
  module: FilterModule<never>,
  words: string,
  inner: Plugin,
): Promise<BlockDevice> {
  const filter = await module.fromArguments(words.split(' ').filter(Boolean), { log: SILENT });
  return filter(inner).open(request);
}

export const SILENT = { warn: () => undefined, info: () => undefined, debug: () => undefined };

export async function bytesOf(device: BlockDevice, offset: bigint, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await device.read(offset, into);
  return into;
}

/** The extents from `offset` on, as `length flags`. */
export async function extentsOf(device: BlockDevice, offset: bigint, length: bigint): Promise<string[]> {
  const extents: string[] = [];
  const add = (length: bigint, flags: number) => extents.push(`${length} ${flags}`) < 1000;
  await device.extents!(offset, length, { add });
  return extents;
}
