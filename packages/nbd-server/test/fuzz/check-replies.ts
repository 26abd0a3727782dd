import {
  Command,
  CommandFlag,
  decodeBlockStatusPayload,
  decodeErrorChunk,
  decodeExtendedReply,
  decodeGreeting,
  decodeOffsetDataPrefix,
  decodeOffsetHole,
  decodeOptionReplyHeader,
  decodeSimpleReply,
  decodeStructuredReply,
  EXPORT_NAME_REPLY_SIZE,
  EXPORT_NAME_REPLY_ZEROES,
  EXTENDED_REPLY_SIZE,
  GREETING_SIZE,
  isErrorChunk,
  OFFSET_DATA_PREFIX_SIZE,
  Option,
  OPTION_REPLY_HEADER_SIZE,
  OptionReply,
  ReplyFlag,
  ReplyType,
  replyHeaderSize,
  SIMPLE_REPLY_SIZE,
} from '@nbd/protocol';
import type { RawRequest } from '../raw/raw-client.js';
import { checkExtents } from './check-extents.js';
import type { Conversation } from './conversation.js';
import { content, DISK_SIZE, type Mood } from './disk.js';
import { Reader } from './reader.js';

/**
 * Checks that all that the server said answers an honest conversation: each option in its order, each request once,
 * each read with what is on the disk, each block status with all contexts that it is about, and an error where one is
 * due, but nowhere else unless the device fails.
 * @throws Error if it does not
 */
export function checkReplies(conversation: Conversation, mood: Mood, output: Uint8Array): void {
  const reader = new Reader(output);
  decodeGreeting(reader.take(GREETING_SIZE));
  if (!takeHandshake(reader, conversation)) {
    if (conversation.begins && mood.failing === 0) throw new Error('the export was refused');
    return;
  }
  const open = new Map(
    conversation.messages.flatMap((message) =>
      message.kind === 'request' ? [[message.request.cookie ?? 0n, new Open(message.request)] as const] : [],
    ),
  );
  while (!reader.isAtEnd) {
    const answered = takeReply(reader, conversation, open);
    if (answered) checkOutcome(answered, conversation, mood);
  }
  if (open.size > 0) throw new Error(`${open.size} requests were not answered`);
}

/** A request that is not answered, or not wholly. */
class Open {
  readonly request: RawRequest;
  /** Bytes of a read that have come. */
  covered = 0n;
  /** Contexts of a block status that have come. */
  readonly contextIds: number[] = [];
  failed = false;

  constructor(request: RawRequest) {
    this.request = request;
  }
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

/** @returns the request, if it was the last reply to one */
function takeReply(reader: Reader, { style }: Conversation, open: Map<bigint, Open>): Open | undefined {
  const size = replyHeaderSize(reader.peek(4));
  const header = reader.take(size);
  if ((size === EXTENDED_REPLY_SIZE) !== (style === 'extended'))
    throw new Error(`a header of ${size} bytes in ${style}`);
  if (size === SIMPLE_REPLY_SIZE) {
    const { error, cookie } = decodeSimpleReply(header);
    const one = find(open, cookie);
    if (error !== 0) one.failed = true;
    if (one.request.command === Command.READ) {
      if (style !== 'simple') throw new Error('a simple reply to a READ');
      if (error === 0) takeData(one, one.request.offset ?? 0n, reader.take(Number(one.request.length ?? 0n)));
    }
    open.delete(cookie);
    return one;
  }
  if (style === 'simple') throw new Error('a chunk that was not agreed on');
  const { flags, type, cookie, length } =
    style === 'extended' ? decodeExtendedReply(header) : decodeStructuredReply(header);
  const one = find(open, cookie);
  if (style === 'extended' && decodeExtendedReply(header).offset !== (one.request.offset ?? 0n)) {
    throw new Error('a reply with the offset of another request');
  }
  takeChunk(one, type, reader.take(length));
  if ((flags & ReplyFlag.DONE) === 0) return undefined;
  open.delete(cookie);
  return one;
}

function takeChunk(one: Open, type: number, payload: Uint8Array): void {
  if (isErrorChunk(type)) {
    decodeErrorChunk(payload);
    one.failed = true;
  } else if (type === ReplyType.OFFSET_DATA) {
    takeData(one, decodeOffsetDataPrefix(payload), payload.subarray(OFFSET_DATA_PREFIX_SIZE));
  } else if (type === ReplyType.OFFSET_HOLE) {
    const { offset, length } = decodeOffsetHole(payload);
    takeData(one, offset, new Uint8Array(length));
  } else if (type === ReplyType.BLOCK_STATUS || type === ReplyType.BLOCK_STATUS_EXT) {
    one.contextIds.push(checkExtents(one.request, type, payload));
  } else if (type !== ReplyType.NONE || payload.length > 0) {
    throw new Error(`a chunk of type ${type} and ${payload.length} bytes`);
  }
}

/** The chunks of a read may come in any order; this server sends them in that of the disk. */
function takeData(one: Open, at: bigint, data: Uint8Array): void {
  const { command, offset = 0n, length = 0n } = one.request;
  const isNext = command === Command.READ && at === offset + one.covered;
  if (!isNext || at + BigInt(data.length) > offset + length) {
    throw new Error(`${data.length} bytes of data at ${at} that nobody asked for, or twice`);
  }
  if (Buffer.compare(data, content(Number(at), data.length)) !== 0)
    throw new Error(`wrong data read at ${at}`);
  one.covered += BigInt(data.length);
}

function checkOutcome({ request, failed, covered, contextIds }: Open, said: Conversation, mood: Mood): void {
  const what = `command ${request.command}, flags ${request.flags}, ${request.length} bytes at ${request.offset}`;
  const isRefused = mustBeRefused(request, said, mood);
  if (isRefused && !failed) throw new Error(`not refused: ${what}`);
  if (failed && !isRefused && mood.failing === 0) throw new Error(`refused: ${what}`);
  if (failed) return;
  if (request.command === Command.READ && covered !== request.length)
    throw new Error(`only ${covered} bytes came: ${what}`);
  const asked = request.command === Command.BLOCK_STATUS ? askedFor(request, said).contextIds : [];
  if (contextIds.join() !== asked.join()) throw new Error(`contexts ${contextIds.join()} came: ${what}`);
}

function mustBeRefused(request: RawRequest, said: Conversation, mood: Mood): boolean {
  const { command, flags = 0, offset = 0n } = request;
  if (command === Command.FLUSH) return false;
  if (command === Command.RESIZE || command > Command.RESIZE) return true;
  const { length, contextIds } = askedFor(request, said);
  const isUnaligned = [offset, length].some((value) => value % BigInt(mood.block) !== 0n);
  if (offset + length > BigInt(DISK_SIZE) || (said.knowsBlockSizes && isUnaligned)) return true;
  switch (command) {
    case Command.BLOCK_STATUS:
      return (
        length === 0n || contextIds.length === 0 || !contextIds.every((id) => said.contextIds.includes(id))
      );
    case Command.WRITE_ZEROES:
      return (flags & CommandFlag.FAST_ZERO) !== 0 && mood.block > 1 && length > 0n;
    default:
      return false;
  }
}

/** What a request is about, which that of a block status may say in its payload. */
function askedFor({ flags = 0, length = 0n, payload, command }: RawRequest, { contextIds }: Conversation) {
  const isFiltered = command === Command.BLOCK_STATUS && (flags & CommandFlag.PAYLOAD_LEN) !== 0;
  return isFiltered ? decodeBlockStatusPayload(payload!) : { length, contextIds };
}

function find(open: Map<bigint, Open>, cookie: bigint): Open {
  const found = open.get(cookie);
  if (!found) throw new Error(`a reply for cookie ${cookie}, that nobody waits for`);
  return found;
}
