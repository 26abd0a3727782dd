import { Magic } from '../constants.js';
import { checkArrived, getUint32, getUint64, setUint32, setUint64, throwBadMagic } from '../integers.js';

export const OPTION_REPLY_HEADER_SIZE = 20;

/** What comes before the data of an option reply. Protocol document, "Fixed newstyle negotiation". */
export interface OptionReplyHeader {
  /** The option that is replied to. */
  readonly option: number;
  /** `OptionReply`, or what a newer server made up. */
  readonly type: number;
  /** Bytes of data that follow, up to 2^32 - 1: nothing to allocate by unchecked. */
  readonly length: number;
}

/** A reply with its data, which is copied. The data of an error is a message for people: see `encodeMessage`. */
export function encodeOptionReply(option: number, type: number, data: Uint8Array = NO_DATA): Uint8Array {
  const bytes = new Uint8Array(OPTION_REPLY_HEADER_SIZE + data.length);
  setUint64(bytes, 0, Magic.OPTION_REPLY);
  setUint32(bytes, 8, option);
  setUint32(bytes, 12, type);
  setUint32(bytes, 16, data.length);
  bytes.set(data, OPTION_REPLY_HEADER_SIZE);
  return bytes;
}

/** @throws NbdError EPROTO for a wrong magic or fewer than {@link OPTION_REPLY_HEADER_SIZE} bytes. */
export function decodeOptionReplyHeader(bytes: Uint8Array, at = 0): OptionReplyHeader {
  checkArrived(bytes, at, OPTION_REPLY_HEADER_SIZE, 'an option reply header');
  const magic = getUint64(bytes, at);
  if (magic !== Magic.OPTION_REPLY) throwBadMagic('an option reply', magic);
  return {
    option: getUint32(bytes, at + 8),
    type: getUint32(bytes, at + 12),
    length: getUint32(bytes, at + 16),
  };
}

/** Whether a reply of this type refuses the option, also one that is not known: all have bit 31 set. */
export function isOptionError(type: number): boolean {
  return type >= 0x8000_0000;
}

const NO_DATA = new Uint8Array(0);
