import {
  isNbdError,
  isPromise,
  NbdError,
  overrideDevice,
  type Awaitable,
  type BlockDevice,
  type WriteOptions,
} from '@nbd/protocol';
import { MAX_EMULATED_ZERO } from './limits.js';

type Zero = NonNullable<BlockDevice['zero']>;

const PIECE = new Uint8Array(1 << 20);

/**
 * Adds the commands that a device lacks and that its others can stand in for: FUA by a flush, zeroes by writes of
 * zeroes. Those take bounded memory and refuse more than 1 GiB, and never pass for fast.
 */
export function emulateMissing(device: BlockDevice): BlockDevice {
  const withZero = device.write ? overrideDevice(device, { zero: zeroWithFallback(device) }) : device;
  return withZero.flush && withZero.info?.fua !== true ? fuaByFlushing(withZero) : withZero;
}

/** The device's own zero, and writes where it has none or says that it can't. */
function zeroWithFallback(device: BlockDevice): Zero {
  const byWriting = zeroByWriting(device);
  const { info } = device;
  return (offset, length, options) => {
    if (!device.zero || (options?.fastZero === true && info?.fastZero !== true)) {
      if (options?.fastZero === true) throw new NbdError('ENOTSUP', 'no zeroing faster than writing here');
      return byWriting(offset, length, options);
    }
    if (options?.fastZero === true) return device.zero(offset, length, options);
    // "If NBD_CMD_FLAG_FAST_ZERO is not set, then the server MUST NOT fail with NBD_ENOTSUP."
    const instead = (error: unknown) => {
      if (isNbdError(error) && error.code === 'ENOTSUP') return byWriting(offset, length, options);
      throw error;
    };
    try {
      const result = device.zero(offset, length, options);
      return isPromise(result) ? result.then(undefined, instead) : result;
    } catch (error) {
      return instead(error);
    }
  };
}

function zeroByWriting(device: BlockDevice): Zero {
  const { minimum = 1, maximum = PIECE.length } = device.info?.blockSize ?? {};
  const longest = Math.min(PIECE.length, maximum - (maximum % minimum));
  return async (offset, length, options) => {
    if (length > MAX_EMULATED_ZERO) {
      throw new NbdError(
        'EOVERFLOW',
        `zeroes are written one by one here: ${length} bytes are more than 1 GiB`,
      );
    }
    const end = offset + length;
    for (let at = offset; at < end; at += BigInt(longest)) {
      options?.signal?.throwIfAborted();
      const rest = Number(end - at);
      await device.write!(at, PIECE.subarray(0, Math.min(longest, rest)), options);
    }
  };
}

function fuaByFlushing(device: BlockDevice): BlockDevice {
  const flushed = (options: WriteOptions | undefined, result: Awaitable<void>): Awaitable<void> => {
    if (options?.fua !== true) return result;
    if (!isPromise(result)) return device.flush!();
    return result.then(() => {
      options.signal?.throwIfAborted();
      return device.flush!();
    });
  };
  const methods: Partial<BlockDevice> = {};
  if (device.write) {
    methods.write = (offset, from, options) => flushed(options, device.write!(offset, from, options));
  }
  if (device.zero) {
    methods.zero = (offset, length, options) => flushed(options, device.zero!(offset, length, options));
  }
  if (device.trim) {
    methods.trim = (offset, length, options) => flushed(options, device.trim!(offset, length, options));
  }
  return overrideDevice(device, methods);
}
