import {
  BASE_ALLOCATION,
  encodeString,
  MAX_DEVICE_SIZE,
  NbdError,
  TransmissionFlag,
  type BlockDevice,
  type BlockSize,
} from '@nbd/protocol';
import { emulateMissing } from './emulations.js';
import type { RangeLock } from './range-lock.js';
import { acceptUnaligned } from './unaligned.js';

/** An export as one connection has it: its device with all that the server adds to it. */
export interface ServedExport {
  /** The name that the client asked for. */
  readonly name: string;
  /** The name under which it is listed. */
  readonly canonicalName: string;
  readonly description: string | undefined;
  readonly device: BlockDevice;
  /** Writing was ruled out by the server or the device. */
  readonly readOnly: boolean;
  /** `TransmissionFlag` bits that do not depend on what the client negotiated. */
  readonly flags: number;
  /** Bytes. What is advertised, also where the device has no constraints of its own. */
  readonly blockSize: BlockSize;
  /** Meta contexts that can be selected. */
  readonly contexts: readonly string[];
  /** Closes the device, the first time that it is called. */
  close(): Promise<void>;
}

/** Protocol document, "Size constraints": what holds where nothing was said. */
const PREFERRED_BLOCK = 4096;
const SMALLEST_PREFERRED = 512;

/**
 * @param options.maximumPayload bytes, the server's own limit
 * @throws NbdError EINVAL if the device describes itself in a way that the protocol has no place for
 */
export function serveDevice(
  device: BlockDevice,
  options: {
    name: string;
    canonicalName: string;
    description: string | undefined;
    readOnly: boolean;
    maximumPayload: number;
    lock: RangeLock;
    close: () => Promise<void>;
  },
): ServedExport {
  checkDevice(device);
  const { info = {} } = device;
  const readOnly = options.readOnly || info.readOnly === true || !device.write;
  const served = acceptUnaligned(emulateMissing(device), options.lock);
  return {
    name: options.name,
    canonicalName: options.canonicalName,
    description: info.description ?? options.description,
    device: served,
    readOnly,
    flags: transmissionFlags(served, readOnly),
    blockSize: limitedBlockSize(info.blockSize, options.maximumPayload),
    contexts: [BASE_ALLOCATION, ...(info.contexts ?? [])],
    close: options.close,
  };
}

/** The device's block sizes, with payloads no longer than the server's limit, but for that of one block. */
function limitedBlockSize(blockSize: BlockSize | undefined, limit: number): BlockSize {
  if (!blockSize)
    return { minimum: 1, preferred: PREFERRED_BLOCK, maximum: Math.max(PREFERRED_BLOCK, limit) };
  const { minimum } = blockSize;
  const most = Math.max(minimum, SMALLEST_PREFERRED, limit);
  const preferred = Math.min(blockSize.preferred, 2 ** Math.floor(Math.log2(most)));
  return { minimum, preferred, maximum: Math.min(blockSize.maximum, most) };
}

/** Protocol document, "Transmission flags". */
function transmissionFlags(device: BlockDevice, readOnly: boolean): number {
  const { info = {} } = device;
  let flags: number = TransmissionFlag.HAS_FLAGS;
  if (info.rotational === true) flags |= TransmissionFlag.ROTATIONAL;
  if (info.multiConn === true) flags |= TransmissionFlag.CAN_MULTI_CONN;
  if (device.cache) flags |= TransmissionFlag.SEND_CACHE;
  if (readOnly) return flags | TransmissionFlag.READ_ONLY;
  if (device.flush) flags |= TransmissionFlag.SEND_FLUSH;
  if (device.flush || info.fua === true) flags |= TransmissionFlag.SEND_FUA;
  if (device.trim) flags |= TransmissionFlag.SEND_TRIM;
  // A zero that can't be fast says so fast: the flag helps either way.
  if (device.zero) flags |= TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO;
  return flags;
}

function checkDevice(device: BlockDevice): void {
  const fault = (what: string) => new NbdError('EINVAL', `the plugin opened a device with ${what}`);
  // Plugins in JavaScript are not held to the types.
  if (typeof (device as BlockDevice | undefined)?.read !== 'function') throw fault('no method "read"');
  const { size, info } = device;
  if (typeof size !== 'bigint' || size < 0n || size > MAX_DEVICE_SIZE) {
    throw fault(`a size of ${size}: it is a bigint from 0 to 2^63-1`);
  }
  const { minimum, preferred, maximum } = info?.blockSize ?? { minimum: 1, preferred: 512, maximum: 512 };
  if (!isPowerOfTwo(minimum) || minimum > 65_536) {
    throw fault(`a minimum block size of ${minimum}: it is a power of 2 up to 65536`);
  }
  if (!isPowerOfTwo(preferred) || preferred < Math.max(SMALLEST_PREFERRED, minimum)) {
    throw fault(
      `a preferred block size of ${preferred}: it is a power of 2, at least 512 and the minimum (${minimum})`,
    );
  }
  if (!Number.isInteger(maximum) || maximum < preferred || maximum > 0xffff_ffff) {
    throw fault(
      `a maximum block size of ${maximum}: it is between the preferred one (${preferred}) and 2^32-1`,
    );
  }
  if (size % BigInt(minimum) !== 0n) {
    throw fault(`a size of ${size}, which is no multiple of its minimum block size ${minimum}`);
  }
  const contexts = info?.contexts ?? [];
  const unusable = contexts.find((name, at) => !isContextName(name) || contexts.indexOf(name) !== at);
  if (unusable !== undefined) {
    throw fault(`a meta context "${unusable}": names are like x-example:dirty, and each is there once`);
  }
}

/** A namespace, a colon and a leaf. `base:` is the protocol's own: what it has is there without being named. */
function isContextName(name: string): boolean {
  return /^[^:]+:./s.test(name) && !name.startsWith('base:') && isString(name);
}

function isString(text: string): boolean {
  try {
    encodeString(text);
    return true;
  } catch {
    return false;
  }
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(value) && value > 0 && (value & (value - 1)) === 0;
}
