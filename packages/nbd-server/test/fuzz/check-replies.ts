import {
  Command,
  decodeExtendedReply,
  decodeGreeting,
  decodeOptionReplyHeader,
  decodeSimpleReply,
  decodeStructuredReply,
  EXPORT_NAME_REPLY_SIZE,
  EXPORT_NAME_REPLY_ZEROES,
  EXTENDED_REPLY_SIZE,
  GREETING_SIZE,
  isErrorChunk,
  Option,
  OPTION_REPLY_HEADER_SIZE,
  OptionReply,
  ReplyFlag,
  ReplyType,
  replyHeaderSize,
  SIMPLE_REPLY_SIZE,
} from '@nbd/protocol';
import type { RawRequest } from '../raw/raw-client.js';
import type { Conversation } from './conversation.js';
import { content } from './disk.js';

/**
 * Checks that all that the server said answers an honest conversation: each option in its order, each request once,
 * each read with what is on the disk.
 * @throws Error if it does not
 */
export function checkReplies(conversation: Conversation, output: Uint8Array): void {
  const reader = new Reader(output);
  decodeGreeting(reader.take(GREETING_SIZE));
  if (!takeHandshake(reader, conversation)) return;
  const requests = conversation.messages.flatMap((message) =>
    message.kind === 'request' ? [message.request] : [],
  );
  const open = new Map(
    requests.map((request) => [request.cookie ?? 0n, { request, covered: 0n, failed: false }]),
  );
  while (!reader.isAtEnd) takeReply(reader, conversation.style, open);
  if (open.size > 0) throw new Error(`${open.size} requests were not answered`);
}

interface Open {
  readonly request: RawRequest;
  /** Bytes of a read that have come. */
  covered: bigint;
  failed: boolean;
}

/** @returns whether transmission began */
function takeHandshake(reader: Reader, { messages, noZeroes }: Conversation): boolean {
  let hasBegun = false;
  for (const message of messages) {
    if (message.kind !== 'option') continue;
    if (message.option === Option.EXPORT_NAME) {
      // An export that does not open ends the session without a word.
      if (reader.isAtEnd) return false;
      reader.take(EXPORT_NAME_REPLY_SIZE + (noZeroes ? 0 : EXPORT_NAME_REPLY_ZEROES));
      hasBegun = true;
    } else {
      const outcome = takeOptionReplies(reader, message.option);
      hasBegun = message.option === Option.GO && outcome === OptionReply.ACK;
    }
  }
  return hasBegun;
}

/** @returns the type of the last reply */
function takeOptionReplies(reader: Reader, option: number): number {
  for (;;) {
    const header = decodeOptionReplyHeader(reader.take(OPTION_REPLY_HEADER_SIZE));
    if (header.option !== option) throw new Error(`option ${option} was answered as ${header.option}`);
    reader.take(header.length);
    const goesOn: number[] = [OptionReply.INFO, OptionReply.SERVER, OptionReply.META_CONTEXT];
    if (!goesOn.includes(header.type)) return header.type;
  }
}

function takeReply(reader: Reader, style: Conversation['style'], open: Map<bigint, Open>): void {
  const size = replyHeaderSize(reader.peek(4));
  const header = reader.take(size);
  if ((size === EXTENDED_REPLY_SIZE) !== (style === 'extended'))
    throw new Error(`a header of ${size} bytes in ${style}`);
  if (size === SIMPLE_REPLY_SIZE) {
    const { error, cookie } = decodeSimpleReply(header);
    const { request } = find(open, cookie);
    if (request.command === Command.READ) {
      if (style !== 'simple') throw new Error('a simple reply to a READ');
      if (error === 0) checkData(request, request.offset!, reader.take(Number(request.length)));
    }
    open.delete(cookie);
    return;
  }
  if (style === 'simple') throw new Error('a chunk that was not agreed on');
  const { flags, type, cookie, length } =
    style === 'extended' ? decodeExtendedReply(header) : decodeStructuredReply(header);
  const one = find(open, cookie);
  if (style === 'extended' && decodeExtendedReply(header).offset !== (one.request.offset ?? 0n)) {
    throw new Error('a reply with the offset of another request');
  }
  takeChunk(one, type, reader.take(length));
  if ((flags & ReplyFlag.DONE) === 0) return;
  const { request, covered, failed } = one;
  if (request.command === Command.READ && !failed && covered !== request.length) {
    throw new Error(`a read of ${request.length ?? 0n} bytes got ${covered}`);
  }
  open.delete(cookie);
}

function takeChunk(one: Open, type: number, payload: Uint8Array): void {
  const { request } = one;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  if (isErrorChunk(type)) {
    one.failed = true;
  } else if (type === ReplyType.OFFSET_DATA) {
    checkData(request, view.getBigUint64(0), payload.subarray(8));
    one.covered += BigInt(payload.length - 8);
  } else if (type === ReplyType.OFFSET_HOLE) {
    const count = view.getUint32(8);
    checkData(request, view.getBigUint64(0), new Uint8Array(count));
    one.covered += BigInt(count);
  } else if (type === ReplyType.BLOCK_STATUS || type === ReplyType.BLOCK_STATUS_EXT) {
    if (request.command !== Command.BLOCK_STATUS) throw new Error('a block status that nobody asked for');
  } else if (type !== ReplyType.NONE) {
    throw new Error(`a chunk of type ${type}`);
  }
}

function checkData({ command, offset = 0n, length = 0n }: RawRequest, at: bigint, data: Uint8Array): void {
  if (command !== Command.READ || at < offset || at + BigInt(data.length) > offset + length) {
    throw new Error(`${data.length} bytes of data at ${at} that nobody asked for`);
  }
  if (Buffer.compare(data, content(Number(at), data.length)) !== 0)
    throw new Error(`wrong data read at ${at}`);
}

function find(open: Map<bigint, Open>, cookie: bigint): Open {
  const found = open.get(cookie);
  if (!found) throw new Error(`a reply for cookie ${cookie}, that nobody waits for`);
  return found;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  peek(count: number): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at, this.#at + count);
    if (bytes.length < count) throw new Error(`the server said ${bytes.length} bytes where ${count} belong`);
    return bytes;
  }

  take(count: number): Uint8Array {
    const bytes = this.peek(count);
    this.#at += count;
    return bytes;
  }
}
