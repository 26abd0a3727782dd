import type { BlockDevice, ExtentSink, WriteOptions, ZeroOptions } from '@nbd/protocol';
import { override } from './override.js';
import type { RangeLock } from './range-lock.js';

/**
 * Serves clients that know nothing of `device`'s minimum block size, in bytes (protocol document, "Size
 * constraints"): reads are widened, writes read and rewrite the blocks at their ends. `lock` is shared by all that
 * write to the same disk, so that no write between the reading and the rewriting is lost.
 */
export function acceptUnaligned(device: BlockDevice, lock: RangeLock): BlockDevice {
  const block = device.info?.blockSize?.minimum ?? 1;
  if (block === 1) return device;
  const mask = BigInt(block - 1);
  const down = (offset: bigint) => offset & ~mask;
  const up = (offset: bigint) => (offset + mask) & ~mask;
  const isAligned = (offset: bigint, length: bigint) => ((offset | length) & mask) === 0n;

  async function readBlocks(offset: bigint, into: Uint8Array): Promise<void> {
    const start = down(offset);
    const blocks = new Uint8Array(Number(up(offset + BigInt(into.length)) - start));
    await device.read(start, blocks);
    into.set(blocks.subarray(Number(offset - start), Number(offset - start) + into.length));
  }

  /** Only the blocks at the ends are read. */
  async function rewriteBlocks(offset: bigint, from: Uint8Array, options?: WriteOptions): Promise<void> {
    const start = down(offset);
    const end = up(offset + BigInt(from.length));
    const blocks = new Uint8Array(Number(end - start));
    const head = Number(offset - start);
    const last = blocks.length - block;
    if (head > 0 || from.length < block) await device.read(start, blocks.subarray(0, block));
    if (last > 0 && head + from.length < blocks.length)
      await device.read(end - BigInt(block), blocks.subarray(last));
    blocks.set(from, head);
    await device.write!(start, blocks, options);
  }

  const unaligned: Partial<BlockDevice> = {
    read(offset, into, options) {
      return isAligned(offset, BigInt(into.length))
        ? device.read(offset, into, options)
        : readBlocks(offset, into);
    },
  };

  if (device.write) {
    unaligned.write = (offset, from, options) => {
      const length = BigInt(from.length);
      return lock.hold(down(offset), up(offset + length), () =>
        isAligned(offset, length)
          ? device.write!(offset, from, options)
          : rewriteBlocks(offset, from, options),
      );
    };
  }

  if (device.zero && device.write) {
    const zeroAll = async (offset: bigint, length: bigint, options?: ZeroOptions) => {
      const end = offset + length;
      const [start, stop] = [up(offset), down(end)];
      if (start >= stop) return rewriteBlocks(offset, new Uint8Array(Number(length)), options);
      // First what may refuse to be fast: nothing has changed then.
      await device.zero!(start, stop - start, options);
      if (start > offset) await rewriteBlocks(offset, new Uint8Array(Number(start - offset)), options);
      if (stop < end) await rewriteBlocks(stop, new Uint8Array(Number(end - stop)), options);
    };
    unaligned.zero = (offset, length, options) =>
      lock.hold(down(offset), up(offset + length), () =>
        isAligned(offset, length) ? device.zero!(offset, length, options) : zeroAll(offset, length, options),
      );
  }

  if (device.trim) {
    // A hint: the part of it that is whole blocks.
    unaligned.trim = (offset, length, options) => {
      const [start, stop] = [up(offset), down(offset + length)];
      if (start >= stop) return;
      return lock.hold(start, stop, () => device.trim!(start, stop - start, options));
    };
  }

  if (device.cache) {
    unaligned.cache = (offset, length, options) =>
      device.cache!(down(offset), up(offset + length) - down(offset), options);
  }

  if (device.extents) {
    unaligned.extents = (offset, length, sink, options) => {
      const start = down(offset);
      return device.extents!(start, up(offset + length) - start, skipBefore(offset - start, sink), options);
    };
  }

  return override(device, unaligned);
}

/** Leaves out the first `skip` bytes of the extents. */
function skipBefore(skip: bigint, sink: ExtentSink): ExtentSink {
  return {
    add(length, flags) {
      if (length <= skip) {
        skip -= length;
        return true;
      }
      const rest = length - skip;
      skip = 0n;
      return sink.add(rest, flags);
    },
  };
}
