import { NbdError } from '../errors.js';
import { checkArrived, checkRoom, getUint32, getUint64, setUint32, setUint64 } from '../integers.js';

/** Bytes before the data in the payload of an OFFSET_DATA chunk: its offset. The data is at least 1 byte long. */
export const OFFSET_DATA_PREFIX_SIZE = 8;

/**
 * Writes what goes before the data: `offset` in bytes from the start of the export.
 * @throws NbdError EINVAL if there is no room for {@link OFFSET_DATA_PREFIX_SIZE} bytes.
 */
export function encodeOffsetDataPrefix(into: Uint8Array, at: number, offset: bigint): void {
  checkRoom(into, at, OFFSET_DATA_PREFIX_SIZE, 'the offset of data');
  setUint64(into, at, offset);
}

/**
 * Where on the export the data belongs, in bytes from its start.
 * @throws NbdError EPROTO for fewer than {@link OFFSET_DATA_PREFIX_SIZE} bytes.
 */
export function decodeOffsetDataPrefix(bytes: Uint8Array, at = 0): bigint {
  checkArrived(bytes, at, OFFSET_DATA_PREFIX_SIZE, 'the offset of data');
  return getUint64(bytes, at);
}

/** The payload of an OFFSET_HOLE chunk: a range that reads as zeroes. */
export interface OffsetHole {
  /** Bytes from the start of the export, unsigned 64 bits. */
  readonly offset: bigint;
  /** Bytes, 1 to 2^32 - 1. */
  readonly length: number;
}

export const OFFSET_HOLE_SIZE = 12;

/**
 * Writes the payload of an OFFSET_HOLE chunk.
 * @throws NbdError EINVAL for a length outside 1 to 2^32 - 1, or if there is no room for {@link OFFSET_HOLE_SIZE}
 *   bytes.
 */
export function encodeOffsetHole(into: Uint8Array, at: number, offset: bigint, length: number): void {
  checkRoom(into, at, OFFSET_HOLE_SIZE, 'a hole');
  if (length < 1 || length > 0xffff_ffff)
    throw new NbdError('EINVAL', `a hole can't be ${length} bytes long`);
  setUint64(into, at, offset);
  setUint32(into, at + 8, length);
}

/** @throws NbdError EPROTO for fewer than {@link OFFSET_HOLE_SIZE} bytes, or an empty hole. */
export function decodeOffsetHole(bytes: Uint8Array, at = 0): OffsetHole {
  checkArrived(bytes, at, OFFSET_HOLE_SIZE, 'a hole');
  const length = getUint32(bytes, at + 8);
  if (length === 0) throw new NbdError('EPROTO', 'a hole is 0 bytes long');
  return { offset: getUint64(bytes, at), length };
}
