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

export const REPLY_MAGIC_SIZE = 4;
export const SIMPLE_REPLY_SIZE = 16;
export const STRUCTURED_REPLY_SIZE = 20;
export const EXTENDED_REPLY_SIZE = 32;

/**
 * How long the header is of which {@link REPLY_MAGIC_SIZE} bytes have arrived: {@link SIMPLE_REPLY_SIZE},
 * {@link STRUCTURED_REPLY_SIZE} or {@link EXTENDED_REPLY_SIZE}. Once structured replies are negotiated, both of the
 * first two may come.
 * @throws NbdError EPROTO if no reply starts like this.
 */
export function replyHeaderSize(bytes: Uint8Array, at = 0): number {
  checkArrived(bytes, at, REPLY_MAGIC_SIZE, 'the magic of a reply');
  const magic = getUint32(bytes, at);
  switch (magic) {
    case Magic.SIMPLE_REPLY:
      return SIMPLE_REPLY_SIZE;
    case Magic.STRUCTURED_REPLY:
      return STRUCTURED_REPLY_SIZE;
    case Magic.EXTENDED_REPLY:
      return EXTENDED_REPLY_SIZE;
    default:
      return throwBadMagic('a reply', magic);
  }
}

/** Protocol document, "Simple reply message". The data of a read follows if `error` is 0. */
export interface SimpleReply {
  /** `ErrorValue`, or 0 for success. Unsigned 32 bits. */
  readonly error: number;
  /** That of the request, unsigned 64 bits. */
  readonly cookie: bigint;
}

/**
 * Writes a simple reply at `at`, where there must be room for {@link SIMPLE_REPLY_SIZE} bytes.
 * @param error an `ErrorValue` as of `errorToWire`, or 0 for success.
 * @throws NbdError EINVAL if there is no room.
 */
export function encodeSimpleReply(into: Uint8Array, at: number, error: number, cookie: bigint): void {
  checkRoom(into, at, SIMPLE_REPLY_SIZE, 'a simple reply');
  setUint32(into, at, Magic.SIMPLE_REPLY);
  setUint32(into, at + 4, error);
  setUint64(into, at + 8, cookie);
}

/**
 * Reads the simple reply at `at`, where {@link SIMPLE_REPLY_SIZE} bytes must have arrived.
 * @throws NbdError EPROTO if the magic is wrong: the stream is out of step and can only be closed.
 */
export function decodeSimpleReply(bytes: Uint8Array, at = 0): SimpleReply {
  checkArrived(bytes, at, SIMPLE_REPLY_SIZE, 'a simple reply');
  const magic = getUint32(bytes, at);
  if (magic !== Magic.SIMPLE_REPLY) throwBadMagic('a simple reply', magic);
  return { error: getUint32(bytes, at + 4), cookie: getUint64(bytes, at + 8) };
}

/** The header of one chunk. Protocol document, "Structured reply chunk message". */
export interface StructuredReply {
  /** `ReplyFlag` bits, 16 of them. */
  readonly flags: number;
  /** `ReplyType`, or what a newer server made up. 16 bits. */
  readonly type: number;
  /** That of the request, unsigned 64 bits. */
  readonly cookie: bigint;
  /** Bytes of payload that follow, up to 2^32 - 1 (extended: 2^53 - 1): nothing to allocate by unchecked. */
  readonly length: number;
}

/**
 * Writes the header of a chunk at `at`, where there must be room for {@link STRUCTURED_REPLY_SIZE} bytes.
 * @param length bytes of payload that follow, 0 to 2^32 - 1.
 * @throws NbdError EINVAL if there is no room; EOVERFLOW if the length does not fit.
 */
export function encodeStructuredReply(
  into: Uint8Array,
  at: number,
  flags: number,
  type: number,
  cookie: bigint,
  length: number,
): void {
  checkRoom(into, at, STRUCTURED_REPLY_SIZE, 'a structured reply');
  if (length > 0xffff_ffff)
    throw new NbdError('EOVERFLOW', `${length} bytes of payload do not fit a structured reply`);
  setUint32(into, at, Magic.STRUCTURED_REPLY);
  setUint16(into, at + 4, flags);
  setUint16(into, at + 6, type);
  setUint64(into, at + 8, cookie);
  setUint32(into, at + 16, length);
}

/**
 * Reads the header of the chunk at `at`, where {@link STRUCTURED_REPLY_SIZE} bytes must have arrived.
 * @throws NbdError EPROTO if the magic is wrong: the stream is out of step and can only be closed.
 */
export function decodeStructuredReply(bytes: Uint8Array, at = 0): StructuredReply {
  checkArrived(bytes, at, STRUCTURED_REPLY_SIZE, 'a structured reply');
  const magic = getUint32(bytes, at);
  if (magic !== Magic.STRUCTURED_REPLY) throwBadMagic('a structured reply', magic);
  return {
    flags: getUint16(bytes, at + 4),
    type: getUint16(bytes, at + 6),
    cookie: getUint64(bytes, at + 8),
    length: getUint32(bytes, at + 16),
  };
}

/** The header of one chunk. Protocol document, "Extended reply chunk message". */
export interface ExtendedReply extends StructuredReply {
  /** That of the request, in bytes, unsigned 64 bits. */
  readonly offset: bigint;
}

/**
 * Writes the header of a chunk at `at`, where there must be room for {@link EXTENDED_REPLY_SIZE} bytes.
 * @param offset that of the request, in bytes.
 * @param length bytes of payload that follow, 0 to 2^53 - 1.
 * @throws NbdError EINVAL if there is no room.
 */
export function encodeExtendedReply(
  into: Uint8Array,
  at: number,
  flags: number,
  type: number,
  cookie: bigint,
  offset: bigint,
  length: number,
): void {
  checkRoom(into, at, EXTENDED_REPLY_SIZE, 'an extended reply');
  setUint32(into, at, Magic.EXTENDED_REPLY);
  setUint16(into, at + 4, flags);
  setUint16(into, at + 6, type);
  setUint64(into, at + 8, cookie);
  setUint64(into, at + 16, offset);
  setUint32(into, at + 24, Math.floor(length / 0x1_0000_0000));
  setUint32(into, at + 28, length);
}

/**
 * Reads the header of the chunk at `at`, where {@link EXTENDED_REPLY_SIZE} bytes must have arrived.
 * @throws NbdError EPROTO if the magic is wrong or the payload longer than 2^53 - 1 bytes: the stream can only be
 *   closed.
 */
export function decodeExtendedReply(bytes: Uint8Array, at = 0): ExtendedReply {
  checkArrived(bytes, at, EXTENDED_REPLY_SIZE, 'an extended reply');
  const magic = getUint32(bytes, at);
  if (magic !== Magic.EXTENDED_REPLY) throwBadMagic('an extended reply', magic);
  const length = getUint32(bytes, at + 24) * 0x1_0000_0000 + getUint32(bytes, at + 28);
  if (length > Number.MAX_SAFE_INTEGER) {
    throw new NbdError('EPROTO', `an extended reply announces ${getUint64(bytes, at + 24)} bytes of payload`);
  }
  return {
    flags: getUint16(bytes, at + 4),
    type: getUint16(bytes, at + 6),
    cookie: getUint64(bytes, at + 8),
    offset: getUint64(bytes, at + 16),
    length,
  };
}

/** Whether a chunk of this type reports an error, also one that is not known: all have bit 15 set. */
export function isErrorChunk(type: number): boolean {
  return (type & 0x8000) !== 0;
}
