import {
  NbdError,
  overrideDevice,
  type BlockDevice,
  type CallOptions,
  type ExtentSink,
  type WriteOptions,
  type ZeroOptions,
} from '@nbd/protocol';
import type { RangeLock } from './range-lock.js';

/** Bytes of whole blocks that one request is widened to at once: a multiple of any block. */
const MOST_AT_ONCE = 1 << 20;

/**
 * Serves clients that know nothing of `device`'s minimum block size, in bytes (protocol document, "Size
 * constraints"): reads are widened, writes read and rewrite the blocks at their ends. `lock` is shared by all that
 * write to the same disk, so that no write between the reading and the rewriting is lost.
 */
export function acceptUnaligned(device: BlockDevice, lock: RangeLock): BlockDevice {
  const block = device.info?.blockSize?.minimum ?? 1;
  if (block === 1) return device;
  const { maximum = MOST_AT_ONCE } = device.info?.blockSize ?? {};
  const longest = Math.min(maximum - (maximum % block), MOST_AT_ONCE);
  const mask = BigInt(block - 1);
  const down = (offset: bigint) => offset & ~mask;
  const up = (offset: bigint) => (offset + mask) & ~mask;
  const isAligned = (offset: bigint, length: bigint) => ((offset | length) & mask) === 0n;

  /** The bytes of `buffer`, cut into pieces that are widened to whole blocks one after the other. */
  function* pieces(offset: bigint, buffer: Uint8Array) {
    for (let at = 0; at < buffer.length;) {
      const start = down(offset + BigInt(at));
      const wanted = Number(up(offset + BigInt(buffer.length)) - start);
      const blocks = new Uint8Array(Math.min(wanted, longest));
      const head = Number(offset + BigInt(at) - start);
      const part = buffer.subarray(at, at + blocks.length - head);
      yield { start, blocks, head, part };
      at += part.length;
    }
  }

  async function readBlocks(offset: bigint, into: Uint8Array, { signal }: CallOptions = {}): Promise<void> {
    for (const { start, blocks, head, part } of pieces(offset, into)) {
      signal?.throwIfAborted();
      await device.read(start, blocks, signal && { signal });
      part.set(blocks.subarray(head, head + part.length));
    }
  }

  /** Only the blocks at the ends are read. */
  async function rewriteBlocks(offset: bigint, from: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const { signal } = options;
    const read = async (start: bigint, into: Uint8Array) => {
      signal?.throwIfAborted();
      await device.read(start, into, signal && { signal });
    };
    for (const { start, blocks, head, part } of pieces(offset, from)) {
      const last = blocks.length - block;
      if (head > 0 || part.length < block) await read(start, blocks.subarray(0, block));
      if (last > 0 && head + part.length < blocks.length)
        await read(start + BigInt(last), blocks.subarray(last));
      blocks.set(part, head);
      signal?.throwIfAborted();
      await device.write!(start, blocks, options);
    }
  }

  const unaligned: Partial<BlockDevice> = {
    read(offset, into, options) {
      return isAligned(offset, BigInt(into.length))
        ? device.read(offset, into, options)
        : readBlocks(offset, into, options);
    },
  };

  if (device.write) {
    unaligned.write = (offset, from, options) => {
      const length = BigInt(from.length);
      return lock.hold(down(offset), up(offset + length), options?.signal, () =>
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
      if (start >= stop) {
        if (options?.fastZero === true)
          throw new NbdError('ENOTSUP', 'no faster than writing: no whole block');
        return rewriteBlocks(offset, new Uint8Array(Number(length)), options);
      }
      // First what may refuse to be fast: nothing has changed then.
      await device.zero!(start, stop - start, options);
      options?.signal?.throwIfAborted();
      if (start > offset) await rewriteBlocks(offset, new Uint8Array(Number(start - offset)), options);
      if (stop < end) await rewriteBlocks(stop, new Uint8Array(Number(end - stop)), options);
    };
    unaligned.zero = (offset, length, options) =>
      lock.hold(down(offset), up(offset + length), options?.signal, () =>
        isAligned(offset, length) ? device.zero!(offset, length, options) : zeroAll(offset, length, options),
      );
  }

  if (device.trim) {
    // A hint: the part of it that is whole blocks.
    unaligned.trim = (offset, length, options) => {
      const [start, stop] = [up(offset), down(offset + length)];
      if (start >= stop) return;
      return lock.hold(start, stop, options?.signal, () => device.trim!(start, stop - start, options));
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

  return overrideDevice(device, unaligned);
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
