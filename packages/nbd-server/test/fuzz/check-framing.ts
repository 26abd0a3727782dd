import {
  decodeExportNameReply,
  decodeExtendedReply,
  decodeGreeting,
  decodeOptionReplyHeader,
  decodeStructuredReply,
  encodeOptionReply,
  EXPORT_NAME_REPLY_SIZE,
  EXPORT_NAME_REPLY_ZEROES,
  EXTENDED_REPLY_SIZE,
  GREETING_SIZE,
  OPTION_REPLY_HEADER_SIZE,
  OptionReply,
  replyHeaderSize,
  SIMPLE_REPLY_SIZE,
} from '@nbd/protocol';
import { DISK_SIZE } from './disk.js';
import { Reader } from './reader.js';

const OPTION_REPLY_MAGIC = encodeOptionReply(0, OptionReply.ACK).subarray(0, 8);

/**
 * Checks that the server says whole messages and nothing between them, whatever it was told. What follows the first
 * simple reply is not looked at where there was no chunk before: how much data it carries depends on its request.
 * @throws Error if it does not
 */
export function checkFraming(output: Uint8Array): void {
  const reader = new Reader(output);
  decodeGreeting(reader.take(GREETING_SIZE));
  while (reader.startsWith(OPTION_REPLY_MAGIC)) {
    reader.take(decodeOptionReplyHeader(reader.take(OPTION_REPLY_HEADER_SIZE)).length);
  }
  takeExportNameReply(reader);
  for (let hasChunks = false; !reader.isAtEnd;) {
    const size = replyHeaderSize(reader.peek(4));
    const header = reader.take(size);
    if (size !== SIMPLE_REPLY_SIZE) {
      hasChunks = true;
      const { length } =
        size === EXTENDED_REPLY_SIZE ? decodeExtendedReply(header) : decodeStructuredReply(header);
      reader.take(length);
    } else if (!hasChunks) {
      return;
    }
  }
}

/** It has no magic, but starts with the size of the disk, as nothing else does. */
function takeExportNameReply(reader: Reader): void {
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(DISK_SIZE));
  if (!reader.startsWith(size)) return;
  decodeExportNameReply(reader.take(EXPORT_NAME_REPLY_SIZE));
  if (reader.startsWith(new Uint8Array(EXPORT_NAME_REPLY_ZEROES))) reader.take(EXPORT_NAME_REPLY_ZEROES);
}
