import {
  CommandFlag,
  decodeBlockStatusHeader,
  decodeBlockStatusPayload,
  decodeExtendedBlockStatusHeader,
  decodeExtendedExtent,
  decodeExtent,
  ReplyType,
} from '@nbd/protocol';
import type { RawRequest } from '../raw/raw-client.js';
import { DISK_SIZE } from './disk.js';

/**
 * Checks that extents are no more than was asked for. Protocol document, `NBD_CMD_BLOCK_STATUS`.
 * @returns the id of their context
 * @throws Error if they are
 */
export function checkExtents(request: RawRequest, type: number, payload: Uint8Array): number {
  const isExtended = type === ReplyType.BLOCK_STATUS_EXT;
  const { contextId, count } = isExtended
    ? decodeExtendedBlockStatusHeader(payload)
    : decodeBlockStatusHeader(payload);
  const { flags = 0, offset = 0n } = request;
  const isFiltered = (flags & CommandFlag.PAYLOAD_LEN) !== 0;
  const asked = isFiltered ? decodeBlockStatusPayload(request.payload!).length : (request.length ?? 0n);
  let covered = 0n;
  for (let i = 0; i < count; i++) {
    if (covered >= asked) throw new Error(`extents beyond the ${asked} bytes that were asked for`);
    covered += (isExtended ? decodeExtendedExtent(payload, i) : decodeExtent(payload, i)).length;
  }
  if (offset + covered > BigInt(DISK_SIZE)) throw new Error('extents beyond the end of the disk');
  if ((flags & CommandFlag.REQ_ONE) !== 0 && (count > 1 || covered > asked)) {
    throw new Error(`${count} extents of ${covered} bytes where one of up to ${asked} was asked for`);
  }
  return contextId;
}
