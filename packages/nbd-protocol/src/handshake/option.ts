import { Magic } from '../constants.js';
import { checkArrived, getUint32, getUint64, setUint32, setUint64, throwBadMagic } from '../integers.js';

export const OPTION_HEADER_SIZE = 16;

/** What comes before the data of an option. Protocol document, "Newstyle negotiation". */
export interface OptionHeader {
  /** `Option`, or what a newer client made up. */
  readonly option: number;
  /** Bytes of data that follow, up to 2^32 - 1: nothing to allocate by unchecked. */
  readonly length: number;
}

/** An option with its data, which is copied. */
export function encodeOption(option: number, data: Uint8Array = NO_DATA): Uint8Array {
  const bytes = new Uint8Array(OPTION_HEADER_SIZE + data.length);
  setUint64(bytes, 0, Magic.IHAVEOPT);
  setUint32(bytes, 8, option);
  setUint32(bytes, 12, data.length);
  bytes.set(data, OPTION_HEADER_SIZE);
  return bytes;
}

/** @throws NbdError EPROTO for a wrong magic or fewer than {@link OPTION_HEADER_SIZE} bytes. */
export function decodeOptionHeader(bytes: Uint8Array, at = 0): OptionHeader {
  checkArrived(bytes, at, OPTION_HEADER_SIZE, 'an option header');
  const magic = getUint64(bytes, at);
  if (magic !== Magic.IHAVEOPT) throwBadMagic('an option', magic);
  return { option: getUint32(bytes, at + 8), length: getUint32(bytes, at + 12) };
}

const NO_DATA = new Uint8Array(0);
