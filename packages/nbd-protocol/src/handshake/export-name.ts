import { checkArrived, getUint16, getUint64, setUint16, setUint64 } from '../integers.js';

/** What a server sends to accept `Option.EXPORT_NAME`. Protocol document, "Newstyle negotiation". */
export interface ExportNameReply {
  /** Bytes, unsigned 64 bits. */
  readonly size: bigint;
  /** `TransmissionFlag` bits, 16 of them. */
  readonly flags: number;
}

export const EXPORT_NAME_REPLY_SIZE = 10;
/** Zeroes that follow unless both sides agreed to `NO_ZEROES`. */
export const EXPORT_NAME_REPLY_ZEROES = 124;

/** @param zeroes whether {@link EXPORT_NAME_REPLY_ZEROES} follow. */
export function encodeExportNameReply(reply: ExportNameReply, zeroes: boolean): Uint8Array {
  const bytes = new Uint8Array(EXPORT_NAME_REPLY_SIZE + (zeroes ? EXPORT_NAME_REPLY_ZEROES : 0));
  setUint64(bytes, 0, reply.size);
  setUint16(bytes, 8, reply.flags);
  return bytes;
}

/** @throws NbdError EPROTO for fewer than {@link EXPORT_NAME_REPLY_SIZE} bytes. The zeroes are not looked at. */
export function decodeExportNameReply(bytes: Uint8Array, at = 0): ExportNameReply {
  checkArrived(bytes, at, EXPORT_NAME_REPLY_SIZE, 'a reply to an export name');
  return { size: getUint64(bytes, at), flags: getUint16(bytes, at + 8) };
}
