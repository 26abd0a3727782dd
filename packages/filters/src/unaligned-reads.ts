import type { Awaitable, BlockDevice, CallOptions, ExtentSink, ReadOptions } from '@nbd/protocol';

/** A device as far as it is read, at any offset. */
export interface Readable {
  read(offset: bigint, into: Uint8Array, options?: ReadOptions): Awaitable<void>;
  extents?(offset: bigint, length: bigint, sink: ExtentSink): Awaitable<void>;
}

/** Reads `device` at any offset and length, also where it has a minimum block size: reads are widened to blocks. */
export function readUnaligned(device: BlockDevice): Readable {
  const { minimum = 1, maximum = 2 ** 32 - 1 } = device.info?.blockSize ?? {};
  const mask = BigInt(minimum - 1);
  const down = (offset: bigint): bigint => offset & ~mask;
  const up = (offset: bigint): bigint => (offset + mask) & ~mask;
  const longest = Math.min(maximum - (maximum % minimum), Math.max(minimum, 1 << 20));

  async function readBlocks(offset: bigint, into: Uint8Array, options: CallOptions = {}): Promise<void> {
    for (let at = 0; at < into.length;) {
      const start = down(offset + BigInt(at));
      const blocks = new Uint8Array(Math.min(Number(up(offset + BigInt(into.length)) - start), longest));
      options.signal?.throwIfAborted();
      await device.read(start, blocks, options.signal && { signal: options.signal });
      const head = Number(offset + BigInt(at) - start);
      const part = blocks.subarray(head, head + into.length - at);
      into.set(part, at);
      at += part.length;
    }
  }

  return {
    read(offset, into, options) {
      const isAligned = ((offset | BigInt(into.length)) & mask) === 0n && into.length <= maximum;
      return isAligned ? device.read(offset, into, options) : readBlocks(offset, into, options);
    },
    ...(device.extents && {
      extents(offset, length, sink) {
        const start = down(offset);
        return device.extents!(start, up(offset + length) - start, skipping(offset - start, sink));
      },
    }),
  };
}

/** Leaves out the first `skip` bytes of the extents. */
function skipping(skip: bigint, sink: ExtentSink): ExtentSink {
  if (skip === 0n) return sink;
  return {
    add(length, flags) {
      const skipped = length < skip ? length : skip;
      skip -= skipped;
      return length === skipped || sink.add(length - skipped, flags);
    },
  };
}
