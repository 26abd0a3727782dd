import {
  isNbdError,
  isPromise,
  NbdError,
  overrideDevice,
  type Awaitable,
  type BlockDevice,
  type BlockSize,
  type DeviceInfo,
  type ExtentSink,
  type ReadOptions,
  type RangeSink,
} from '@nbd/protocol';

/**
 * `length` bytes of `device` from `start` on, as a device of its own.
 * @param what for messages: `partition 2`
 * @throws NbdError EINVAL if they are not all there, or don't begin and end with its blocks.
 */
export function slice(device: BlockDevice, start: bigint, length: bigint, what: string): BlockDevice {
  if (start + length > device.size) {
    throw new NbdError(
      'EINVAL',
      `${what} is ${length} bytes at ${start}, and the disk has only ${device.size} bytes`,
    );
  }
  const { minimum = 1 } = device.info?.blockSize ?? {};
  if ((start | length) & BigInt(minimum - 1)) {
    throw new NbdError(
      'EINVAL',
      `${what} is ${length} bytes at ${start}, which are not whole blocks of the disk: they have ${minimum} bytes`,
    );
  }
  const shifted = (call: () => Awaitable<void>) => withErrorsAt(start, call);
  return overrideDevice(device, {
    size: length,
    info: infoOfSlice(device.info, start),
    read: (offset, into, options) =>
      shifted(() => device.read(start + offset, into, shiftHoles(start, options))),
    ...(device.write && {
      write: (offset, from, options) => shifted(() => device.write!(start + offset, from, options)),
    }),
    ...(device.zero && {
      zero: (offset, count, options) => shifted(() => device.zero!(start + offset, count, options)),
    }),
    ...(device.trim && {
      trim: (offset, count, options) => shifted(() => device.trim!(start + offset, count, options)),
    }),
    ...(device.cache && {
      cache: (offset, count, options) => shifted(() => device.cache!(start + offset, count, options)),
    }),
    ...(device.extents && {
      extents: (offset, count, sink, options) =>
        shifted(() => device.extents!(start + offset, count, cutAfter(length - offset, sink), options)),
    }),
  });
}

/** Hands over the first `left` bytes of extents: an extent may reach beyond what was asked for. */
export function cutAfter(left: bigint, sink: ExtentSink): ExtentSink {
  return {
    add(length, flags) {
      const within = length < left ? length : left;
      left -= within;
      return sink.add(within, flags) && left > 0n;
    },
  };
}

/** Multiples of the preferred block size are efficient only where they fall on the blocks of the whole disk. */
function infoOfSlice(info: DeviceInfo | undefined, start: bigint): DeviceInfo | undefined {
  if (!info?.blockSize) return info;
  return { ...info, blockSize: { ...info.blockSize, preferred: preferredAt(start, info.blockSize) } };
}

function preferredAt(start: bigint, { minimum, preferred }: BlockSize): number {
  const least = Math.max(minimum, 512);
  while (preferred > least && start % BigInt(preferred) !== 0n) preferred /= 2;
  return preferred;
}

function shiftHoles(start: bigint, options: ReadOptions | undefined): ReadOptions | undefined {
  const holes = options?.holes;
  if (!holes) return options;
  const shifted: RangeSink = {
    add: (offset, length) => {
      holes.add(offset - start, length);
    },
  };
  return { ...options, holes: shifted };
}

/** Errors tell where they happened: on the slice, not on the whole disk. */
function withErrorsAt(start: bigint, call: () => Awaitable<void>): Awaitable<void> {
  const moved = (error: unknown): never => {
    if (!isNbdError(error) || error.offset === undefined) throw error;
    throw new NbdError(error.code, error.message, { cause: error, offset: error.offset - start });
  };
  try {
    const result = call();
    return isPromise(result) ? result.catch(moved) : result;
  } catch (error) {
    return moved(error);
  }
}
