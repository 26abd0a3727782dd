import { NbdError } from '../errors.js';
import { checkArrived, checkRoom, getUint32, getUint64, setUint32, setUint64 } from '../integers.js';

// A chunk may hold 2^20 extents: they are read and written one by one, in place, and never as an array.

/** What the extents of a BLOCK_STATUS or BLOCK_STATUS_EXT chunk are about. */
export interface BlockStatusHeader {
  /** Id of the meta context, unsigned 32 bits. */
  readonly contextId: number;
  /** Extents that follow, at least 1. */
  readonly count: number;
}

/** One extent of a chunk. They follow each other, from the offset of the request on. */
export interface Extent {
  /** Bytes, at least 1; up to 2^32 - 1, extended up to 2^64 - 1. */
  readonly length: bigint;
  /** As the meta context defines them (for `base:allocation`: `ExtentFlag` bits); 32 bits, extended 64. */
  readonly flags: bigint;
}

export const BLOCK_STATUS_HEADER_SIZE = 4;
export const EXTENT_SIZE = 8;

/**
 * Starts the payload of a BLOCK_STATUS chunk. The extents follow it, {@link EXTENT_SIZE} bytes each.
 * @throws NbdError EINVAL if there is no room for {@link BLOCK_STATUS_HEADER_SIZE} bytes.
 */
export function encodeBlockStatusHeader(into: Uint8Array, at: number, contextId: number): void {
  checkRoom(into, at, BLOCK_STATUS_HEADER_SIZE, 'a block status');
  setUint32(into, at, contextId);
}

/** @throws NbdError EPROTO if the payload is not a header and one or more extents. */
export function decodeBlockStatusHeader(payload: Uint8Array): BlockStatusHeader {
  const count = (payload.length - BLOCK_STATUS_HEADER_SIZE) / EXTENT_SIZE;
  if (count < 1 || !Number.isInteger(count)) {
    throw new NbdError('EPROTO', `a block status of ${payload.length} bytes is not one of whole extents`);
  }
  return { contextId: getUint32(payload, 0), count };
}

/**
 * Writes one extent of a BLOCK_STATUS chunk.
 * @throws NbdError EINVAL for a length outside 1 to 2^32 - 1, or if there is no room for {@link EXTENT_SIZE} bytes.
 */
export function encodeExtent(into: Uint8Array, at: number, length: bigint, flags: number): void {
  checkRoom(into, at, EXTENT_SIZE, 'an extent');
  if (length < 1n || length > 0xffff_ffffn)
    throw new NbdError('EINVAL', `an extent can't be ${length} bytes long`);
  setUint32(into, at, Number(length));
  setUint32(into, at + 4, flags);
}

/**
 * Reads extent `index`, from 0, of the payload of a BLOCK_STATUS chunk.
 * @throws NbdError EPROTO for an empty extent, or one that is not there.
 */
export function decodeExtent(payload: Uint8Array, index: number): Extent {
  const at = BLOCK_STATUS_HEADER_SIZE + index * EXTENT_SIZE;
  checkArrived(payload, at, EXTENT_SIZE, 'an extent');
  const length = getUint32(payload, at);
  if (length === 0) throwEmptyExtent(index);
  return { length: BigInt(length), flags: BigInt(getUint32(payload, at + 4)) };
}

export const EXTENDED_BLOCK_STATUS_HEADER_SIZE = 8;
export const EXTENDED_EXTENT_SIZE = 16;

/**
 * Starts the payload of a BLOCK_STATUS_EXT chunk. `count` extents follow it, {@link EXTENDED_EXTENT_SIZE} bytes each.
 * @throws NbdError EINVAL if there is no room for {@link EXTENDED_BLOCK_STATUS_HEADER_SIZE} bytes.
 */
export function encodeExtendedBlockStatusHeader(
  into: Uint8Array,
  at: number,
  contextId: number,
  count: number,
): void {
  checkRoom(into, at, EXTENDED_BLOCK_STATUS_HEADER_SIZE, 'an extended block status');
  setUint32(into, at, contextId);
  setUint32(into, at + 4, count);
}

/** @throws NbdError EPROTO if the payload is not a header and as many extents, at least one, as it says. */
export function decodeExtendedBlockStatusHeader(payload: Uint8Array): BlockStatusHeader {
  checkArrived(payload, 0, EXTENDED_BLOCK_STATUS_HEADER_SIZE, 'an extended block status');
  const count = getUint32(payload, 4);
  if (count === 0 || payload.length !== EXTENDED_BLOCK_STATUS_HEADER_SIZE + count * EXTENDED_EXTENT_SIZE) {
    throw new NbdError(
      'EPROTO',
      `an extended block status of ${payload.length} bytes is not one of ${count} extents`,
    );
  }
  return { contextId: getUint32(payload, 0), count };
}

/**
 * Writes one extent of a BLOCK_STATUS_EXT chunk.
 * @throws NbdError EINVAL for a length below 1, or if there is no room for {@link EXTENDED_EXTENT_SIZE} bytes.
 */
export function encodeExtendedExtent(into: Uint8Array, at: number, length: bigint, flags: bigint): void {
  checkRoom(into, at, EXTENDED_EXTENT_SIZE, 'an extended extent');
  if (length < 1n) throw new NbdError('EINVAL', `an extent can't be ${length} bytes long`);
  setUint64(into, at, length);
  setUint64(into, at + 8, flags);
}

/**
 * Reads extent `index`, from 0, of the payload of a BLOCK_STATUS_EXT chunk.
 * @throws NbdError EPROTO for an empty extent, or one that is not there.
 */
export function decodeExtendedExtent(payload: Uint8Array, index: number): Extent {
  const at = EXTENDED_BLOCK_STATUS_HEADER_SIZE + index * EXTENDED_EXTENT_SIZE;
  checkArrived(payload, at, EXTENDED_EXTENT_SIZE, 'an extended extent');
  const length = getUint64(payload, at);
  if (length === 0n) throwEmptyExtent(index);
  return { length, flags: getUint64(payload, at + 8) };
}

/**
 * What a BLOCK_STATUS request with PAYLOAD_LEN carries: the ids to answer for, out of those that were negotiated.
 * Protocol document, "Request types", `NBD_CMD_BLOCK_STATUS`.
 */
export interface BlockStatusPayload {
  /** Bytes that the request is about, unsigned 64 bits. */
  readonly length: bigint;
  readonly contextIds: readonly number[];
}

export function encodeBlockStatusPayload(payload: BlockStatusPayload): Uint8Array {
  const bytes = new Uint8Array(8 + 4 * payload.contextIds.length);
  setUint64(bytes, 0, payload.length);
  for (const [index, id] of payload.contextIds.entries()) setUint32(bytes, 8 + 4 * index, id);
  return bytes;
}

/** @throws NbdError EPROTO if the payload is not a length and whole ids: the session answers `EINVAL`. */
export function decodeBlockStatusPayload(bytes: Uint8Array): BlockStatusPayload {
  if (bytes.length < 8 || bytes.length % 4 !== 0) {
    throw new NbdError(
      'EPROTO',
      `a block status request's payload of ${bytes.length} bytes is not one of whole ids`,
    );
  }
  const contextIds: number[] = [];
  for (let at = 8; at < bytes.length; at += 4) contextIds.push(getUint32(bytes, at));
  return { length: getUint64(bytes, 0), contextIds };
}

function throwEmptyExtent(index: number): never {
  throw new NbdError('EPROTO', `extent ${index} of a block status is 0 bytes long`);
}
