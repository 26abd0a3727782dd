import { overridePlugin, type Filter } from '@nbd/plugin';
import { overrideDevice, type BlockDevice } from '@nbd/protocol';
import { BlockCache } from './block-cache.js';
import { PerExport } from './per-export.js';

/** Bytes that are kept together, where the disk does not want something else. */
const BLOCK_SIZE = 65_536;

/**
 * A filter whose devices have a cache of `memory` bytes. All connections to an export share one, if the disk is the same
 * on all of them (`multiConn`); else each has its own. Changes of the disk keep it right.
 */
export function withCache(
  memory: bigint,
  change: (device: BlockDevice, cache: BlockCache) => BlockDevice,
): Filter {
  return (inner) => {
    const caches = new PerExport<BlockCache>(inner);
    return overridePlugin(inner, {
      async open(request) {
        const name = await caches.nameOf(request);
        const device = await inner.open(request);
        const make = (): BlockCache => new BlockCache(device.size, blockSizeFor(device), memory);
        // What grew in between is another disk.
        const cache = device.info?.multiConn === true ? caches.get(`${name} ${device.size}`, make) : make();
        return change(keptRight(device, cache), cache);
      },
    });
  };
}

function blockSizeFor({ info }: BlockDevice): number {
  const { minimum = 1, maximum = BLOCK_SIZE } = info?.blockSize ?? {};
  const most = 2 ** Math.floor(Math.log2(maximum));
  return Math.max(minimum, Math.min(BLOCK_SIZE, most));
}

function keptRight(device: BlockDevice, cache: BlockCache): BlockDevice {
  return overrideDevice(device, {
    ...(device.write && {
      write: (offset, from, options) =>
        cache.change(
          offset,
          BigInt(from.length),
          () => device.write!(offset, from, options),
          (block, at, count, start) => {
            const skip = Number(start - offset);
            block.set(from.subarray(skip, skip + count), at);
          },
        ),
    }),
    ...(device.zero && {
      zero: (offset, length, options) =>
        cache.change(
          offset,
          length,
          () => device.zero!(offset, length, options),
          (block, at, count) => block.fill(0, at, at + count),
        ),
    }),
    ...(device.trim && {
      trim: (offset, length, options) =>
        cache.change(offset, length, () => device.trim!(offset, length, options)),
    }),
  });
}
