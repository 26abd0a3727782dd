import { ErrorValue } from '../constants.js';
import { isNbdError, type NbdErrorCode } from '../errors.js';

/**
 * The value that stands for `error` on the wire. Anything but an `NbdError` is `EIO`: what it says belongs in a log,
 * not in the hands of a client.
 *
 * ```ts
 * errorToWire(new NbdError('EROFS', 'disk.raw is read-only')); // 1, ErrorValue.EPERM
 * ```
 */
export function errorToWire(error: unknown): number {
  // An error of another copy of this package, of another version, may have a code that this one does not know.
  return (isNbdError(error) ? TO_WIRE.get(error.code) : undefined) ?? ErrorValue.EIO;
}

/**
 * The code that stands for a value from the wire, which is not 0. One that the document does not define is `EINVAL`:
 * "The client SHOULD treat an unexpected error value as if it had been NBD_EINVAL".
 *
 * ```ts
 * errorFromWire(28); // 'ENOSPC'
 * ```
 */
export function errorFromWire(value: number): NbdErrorCode {
  return FROM_WIRE.get(value) ?? 'EINVAL';
}

// Protocol document, "Error values": EDQUOT and EFBIG are ENOSPC there; a write to a read-only export is EPERM.
const CODES = {
  EPERM: ErrorValue.EPERM,
  EACCES: ErrorValue.EPERM,
  EROFS: ErrorValue.EPERM,
  ENOMEM: ErrorValue.ENOMEM,
  EINVAL: ErrorValue.EINVAL,
  ENOSPC: ErrorValue.ENOSPC,
  EDQUOT: ErrorValue.ENOSPC,
  EFBIG: ErrorValue.ENOSPC,
  EOVERFLOW: ErrorValue.EOVERFLOW,
  ENOTSUP: ErrorValue.ENOTSUP,
  ESHUTDOWN: ErrorValue.ESHUTDOWN,
  EIO: ErrorValue.EIO,
  EBUSY: ErrorValue.EIO,
  ECANCELED: ErrorValue.EIO,
  ECONNREFUSED: ErrorValue.EIO,
  ECONNRESET: ErrorValue.EIO,
  EEXIST: ErrorValue.EIO,
  EISDIR: ErrorValue.EIO,
  ENODEV: ErrorValue.EIO,
  ENOENT: ErrorValue.EIO,
  ENOTDIR: ErrorValue.EIO,
  EPIPE: ErrorValue.EIO,
  EPROTO: ErrorValue.EIO,
  ETIMEDOUT: ErrorValue.EIO,
} satisfies Record<NbdErrorCode, number>;

const TO_WIRE = new Map<string, number>(Object.entries(CODES));
const FROM_WIRE = new Map<number, NbdErrorCode>(
  (Object.keys(ErrorValue) as (keyof typeof ErrorValue)[]).map((code) => [ErrorValue[code], code]),
);
