import { NbdError } from '../errors.js';
import {
  checkArrived,
  getUint16,
  getUint32,
  getUint64,
  setUint16,
  setUint32,
  setUint64,
} from '../integers.js';
import { decodeMessage, encodeMessage } from '../strings.js';

/** The payload of an ERROR chunk, and the start of that of every error chunk. "Structured reply types". */
export interface ErrorChunk {
  /** `ErrorValue`, not 0. Unsigned 32 bits. */
  readonly error: number;
  /** For people; may be empty. */
  readonly message: string;
}

/** The payload of an ERROR chunk. The message is cut to `MAX_STRING_LENGTH` bytes. */
export function encodeErrorChunk(chunk: ErrorChunk): Uint8Array {
  return encodeStart(chunk, 0);
}

/**
 * Reads the payload of an ERROR chunk, or the start of that of an error chunk of unknown type.
 * @throws NbdError EPROTO if the message is not all there, or the error is 0.
 */
export function decodeErrorChunk(payload: Uint8Array): ErrorChunk {
  checkArrived(payload, 0, FIXED_SIZE, 'an error chunk');
  const error = getUint32(payload, 0);
  if (error === 0) throw new NbdError('EPROTO', 'an error chunk reports success');
  const length = getUint16(payload, 4);
  checkArrived(payload, FIXED_SIZE, length, 'the message of an error chunk');
  return { error, message: decodeMessage(payload.subarray(FIXED_SIZE, FIXED_SIZE + length)) };
}

/** The payload of an ERROR_OFFSET chunk. */
export interface ErrorOffsetChunk extends ErrorChunk {
  /** Where it happened, in bytes from the start of the export, unsigned 64 bits. */
  readonly offset: bigint;
}

/** The payload of an ERROR_OFFSET chunk. The message is cut to `MAX_STRING_LENGTH` bytes. */
export function encodeErrorOffsetChunk(chunk: ErrorOffsetChunk): Uint8Array {
  const payload = encodeStart(chunk, 8);
  setUint64(payload, payload.length - 8, chunk.offset);
  return payload;
}

/** @throws NbdError EPROTO if the message or the offset is not all there, or the error is 0. */
export function decodeErrorOffsetChunk(payload: Uint8Array): ErrorOffsetChunk {
  const { error, message } = decodeErrorChunk(payload);
  const at = FIXED_SIZE + getUint16(payload, 4);
  checkArrived(payload, at, 8, 'the offset of an error chunk');
  return { error, message, offset: getUint64(payload, at) };
}

/** Bytes of the error and the length of the message. */
const FIXED_SIZE = 6;

function encodeStart(chunk: ErrorChunk, more: number): Uint8Array {
  const message = encodeMessage(chunk.message);
  const payload = new Uint8Array(FIXED_SIZE + message.length + more);
  setUint32(payload, 0, chunk.error);
  setUint16(payload, 4, message.length);
  payload.set(message, FIXED_SIZE);
  return payload;
}
