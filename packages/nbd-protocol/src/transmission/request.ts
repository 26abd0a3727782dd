import { Magic } from '../constants.js';
import { NbdError } from '../errors.js';
import {
  checkArrived,
  checkRoom,
  getUint16,
  getUint32,
  getUint64,
  setUint16,
  setUint32,
  setUint64,
  throwBadMagic,
} from '../integers.js';

/** A request of the transmission phase, compact or extended. Protocol document, "Request message". */
export interface Request {
  /** `CommandFlag` bits, 16 of them. */
  readonly flags: number;
  /** `Command`, or what a newer client made up: the session answers `EINVAL`. 16 bits. */
  readonly command: number;
  /** Opaque to the server, unsigned 64 bits. */
  readonly cookie: bigint;
  /** Bytes, unsigned 64 bits: nothing to calculate with unchecked. */
  readonly offset: bigint;
  /**
   * Bytes of payload or of effect, up to 2^32 - 1 in a compact request and 2^64 - 1 in an extended one. One type for
   * both, so that sessions are written once: as a number it would save 6 of the 113 ns that decoding a compact
   * request takes (medians of 5, Node 20).
   */
  readonly length: bigint;
}

export const REQUEST_SIZE = 28;
export const EXTENDED_REQUEST_SIZE = 32;

/**
 * Writes a compact request at `at`, where there must be room for {@link REQUEST_SIZE} bytes.
 * @throws NbdError EOVERFLOW for a length above 2^32 - 1, which only an extended request can carry; EINVAL if there
 *   is no room.
 */
export function encodeRequest(into: Uint8Array, at: number, request: Request): void {
  checkRoom(into, at, REQUEST_SIZE, 'a request');
  if (request.length > 0xffff_ffffn) {
    throw new NbdError(
      'EOVERFLOW',
      `a length of ${request.length} does not fit a request without extended headers`,
    );
  }
  setUint32(into, at, Magic.REQUEST);
  setUint16(into, at + 4, request.flags);
  setUint16(into, at + 6, request.command);
  setUint64(into, at + 8, request.cookie);
  setUint64(into, at + 16, request.offset);
  setUint32(into, at + 24, Number(request.length));
}

/**
 * Reads the compact request at `at`, where {@link REQUEST_SIZE} bytes must have arrived.
 * @throws NbdError EPROTO if the magic is wrong: the stream is out of step and can only be closed.
 */
export function decodeRequest(bytes: Uint8Array, at = 0): Request {
  checkArrived(bytes, at, REQUEST_SIZE, 'a request');
  const magic = getUint32(bytes, at);
  if (magic !== Magic.REQUEST) throwBadMagic('a request', magic);
  return {
    flags: getUint16(bytes, at + 4),
    command: getUint16(bytes, at + 6),
    cookie: getUint64(bytes, at + 8),
    offset: getUint64(bytes, at + 16),
    length: BigInt(getUint32(bytes, at + 24)),
  };
}

/**
 * Writes an extended request at `at`, where there must be room for {@link EXTENDED_REQUEST_SIZE} bytes.
 * @throws NbdError EINVAL if there is no room.
 */
export function encodeExtendedRequest(into: Uint8Array, at: number, request: Request): void {
  checkRoom(into, at, EXTENDED_REQUEST_SIZE, 'an extended request');
  setUint32(into, at, Magic.EXTENDED_REQUEST);
  setUint16(into, at + 4, request.flags);
  setUint16(into, at + 6, request.command);
  setUint64(into, at + 8, request.cookie);
  setUint64(into, at + 16, request.offset);
  setUint64(into, at + 24, request.length);
}

/**
 * Reads the extended request at `at`, where {@link EXTENDED_REQUEST_SIZE} bytes must have arrived.
 * @throws NbdError EPROTO if the magic is wrong: the stream is out of step and can only be closed.
 */
export function decodeExtendedRequest(bytes: Uint8Array, at = 0): Request {
  checkArrived(bytes, at, EXTENDED_REQUEST_SIZE, 'an extended request');
  const magic = getUint32(bytes, at);
  if (magic !== Magic.EXTENDED_REQUEST) throwBadMagic('an extended request', magic);
  return {
    flags: getUint16(bytes, at + 4),
    command: getUint16(bytes, at + 6),
    cookie: getUint64(bytes, at + 8),
    offset: getUint64(bytes, at + 16),
    length: getUint64(bytes, at + 24),
  };
}
