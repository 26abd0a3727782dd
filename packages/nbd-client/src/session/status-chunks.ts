import {
  BLOCK_STATUS_HEADER_SIZE,
  CommandFlag,
  decodeBlockStatusHeader,
  decodeExtendedBlockStatusHeader,
  decodeExtendedExtent,
  decodeExtent,
  EXTENDED_BLOCK_STATUS_HEADER_SIZE,
  EXTENDED_EXTENT_SIZE,
  EXTENT_SIZE,
  MAX_DEVICE_SIZE,
  MAX_EXTENTS,
  NbdError,
} from '@nbd/protocol';
import type { Call } from './call.js';
import { broken } from './dialogue.js';
import type { Terms } from './terms.js';

/** Most bytes of extents in one chunk: "Servers SHOULD NOT send more than 2^20 extents in a single reply chunk". */
export const MAX_STATUS_LENGTH = BLOCK_STATUS_HEADER_SIZE + MAX_EXTENTS * EXTENT_SIZE;
export const MAX_EXTENDED_STATUS_LENGTH =
  EXTENDED_BLOCK_STATUS_HEADER_SIZE + MAX_EXTENTS * EXTENDED_EXTENT_SIZE;

/**
 * Gives the extents of a BLOCK_STATUS or BLOCK_STATUS_EXT chunk to the call, if they are of the meta context that it
 * asks for.
 * @throws NbdError EPROTO for a chunk that breaks a rule.
 */
export function readStatus(
  call: Call,
  payload: Uint8Array,
  terms: Terms,
  contextIds: ReadonlySet<number>,
): void {
  const { contextId, count } = terms.extendedHeaders
    ? decodeExtendedBlockStatusHeader(payload)
    : decodeBlockStatusHeader(payload);
  if (!contextIds.has(contextId)) throw broken(`sends extents of the unknown meta context ${contextId}`);
  const seen = (call.contextsSeen ??= new Set());
  if (seen.has(contextId)) throw broken(`sends extents of meta context ${contextId} twice in one reply`);
  seen.add(contextId);
  if ((call.flags & CommandFlag.REQ_ONE) !== 0 && count > 1) {
    throw broken(`sends ${count} extents when asked for one`);
  }
  if (contextId === call.contextId) readExtents(call, payload, count, terms);
}

function readExtents(call: Call, payload: Uint8Array, count: number, terms: Terms): void {
  const decode = terms.extendedHeaders ? decodeExtendedExtent : decodeExtent;
  let offset = call.offset;
  for (let index = 0; index < count && offset < terms.size; index++) {
    const { length, flags } = decode(payload, index);
    // The last may reach beyond what was asked for, but no disk goes on so far: libnbd fell over these
    // (CVE-2023-5871).
    if (offset + length > MAX_DEVICE_SIZE) {
      throw broken(`sends an extent of ${length} bytes at offset ${offset}, which goes beyond 2^63 - 1`);
    }
    if (flags > BigInt(Number.MAX_SAFE_INTEGER)) {
      call.error ??= new NbdError(
        'EOVERFLOW',
        `an extent's flags 0x${flags.toString(16)} do not fit a number`,
      );
      return;
    }
    const rest = terms.size - offset;
    call.extents?.add(length < rest ? length : rest, Number(flags));
    offset += length;
  }
}
