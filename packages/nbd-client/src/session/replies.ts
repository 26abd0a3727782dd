import {
  Command,
  CommandFlag,
  decodeErrorChunk,
  decodeErrorOffsetChunk,
  decodeExtendedReply,
  decodeOffsetDataPrefix,
  decodeOffsetHole,
  decodeSimpleReply,
  decodeStructuredReply,
  EXTENDED_REPLY_SIZE,
  isErrorChunk,
  MAX_STRING_LENGTH,
  OFFSET_DATA_PREFIX_SIZE,
  OFFSET_HOLE_SIZE,
  REPLY_MAGIC_SIZE,
  ReplyFlag,
  replyHeaderSize,
  ReplyType,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
  type ExtendedReply,
} from '@nbd/protocol';
import { describeCall, serverError } from './call-errors.js';
import type { Call } from './call.js';
import { broken } from './dialogue.js';
import type { Inlet } from './inlet.js';
import { MAX_EXTENDED_STATUS_LENGTH, MAX_STATUS_LENGTH, readStatus } from './status-chunks.js';
import type { Terms } from './terms.js';

/** An error, the length of its message, the message, and what error types of the future may add. */
const MAX_ERROR_LENGTH = 6 + MAX_STRING_LENGTH + 256;

/**
 * After so many bytes of data in one piece the next is expected to be like it: no more than its header is asked for, so
 * that all of its data comes straight into place. Costs a system call, and saves copying as much as the inlet holds.
 */
const LARGE = 32 << 10;

/** The one that has sent the requests. */
export interface Asker {
  /** The call with this cookie that waits for its reply. @throws NbdError EPROTO if there is none. */
  find(cookie: bigint): Call;
  /** The whole reply to the call has been read. */
  answered(call: Call): void;
  /** The buffer of an abandoned read, which was lent to the transport, is back. */
  returned(call: Call): void;
}

/**
 * Reads what a server sends in the transmission phase: headers through the inlet, data straight into the buffers of
 * the calls. Every rule that a server can break is checked here, before anything is done or allocated by what it says.
 * All methods throw `NbdError` EPROTO for a rule that was broken.
 */
export class ReplyReader {
  readonly #inlet: Inlet;
  readonly #terms: Terms;
  readonly #asker: Asker;
  readonly #contextIds: ReadonlySet<number>;

  // The payload that is arriving.
  #call!: Call;
  #kind: 'data' | 'status' | 'error' = 'data';
  #type = 0;
  #isLast = false;
  /** Where it goes; undefined if nobody wants it. */
  #into: Uint8Array | undefined;
  #at = 0;
  #remaining = 0;
  /** The transport has the rest of {@link #into}. */
  #lent = false;
  /** The last data was {@link LARGE}. */
  #isLarge = false;
  /** Bytes in front of the data of a read. */
  readonly #headerSize: number;
  /** Whether nobody will want it once it is back. */
  #unwanted = false;

  constructor(inlet: Inlet, terms: Terms, asker: Asker) {
    this.#inlet = inlet;
    this.#terms = terms;
    this.#asker = asker;
    this.#contextIds = new Set(terms.contexts.values());
    this.#headerSize = terms.extendedHeaders
      ? EXTENDED_REPLY_SIZE + OFFSET_DATA_PREFIX_SIZE
      : terms.structuredReplies
        ? STRUCTURED_REPLY_SIZE + OFFSET_DATA_PREFIX_SIZE
        : SIMPLE_REPLY_SIZE;
  }

  nextBuffer(): Uint8Array {
    const into = this.#into;
    this.#lent = into !== undefined && this.#remaining > 0 && this.#inlet.length === 0;
    if (this.#lent) return into!.subarray(this.#at, this.#at + this.#remaining);
    const missing = this.#headerSize - this.#inlet.length;
    return this.#inlet.room(this.#isLarge && missing > 0 ? missing : undefined);
  }

  received(count: number): void {
    if (this.#lent) this.#receivedPayload(count);
    else this.#inlet.end += count;
    while (this.#remaining > 0 ? this.#takePayload() : this.#takeHeader());
  }

  /**
   * Lets go of the buffer of a read that was given up.
   * @returns false if the transport has it: `asker.returned` follows.
   */
  release(call: Call): boolean {
    call.into = undefined;
    if (this.#remaining === 0 || this.#call !== call || this.#kind !== 'data') return true;
    if (this.#lent) {
      this.#unwanted = true;
      return false;
    }
    this.#into = undefined;
    return true;
  }

  /** The connection has ended: the transport has nothing any more. */
  ended(): void {
    this.#lent = false;
    this.#remaining = 0;
    this.#into = undefined;
  }

  #receivedPayload(count: number): void {
    this.#lent = false;
    this.#at += count;
    this.#remaining -= count;
    if (this.#unwanted) {
      this.#unwanted = false;
      this.#into = undefined;
      this.#asker.returned(this.#call);
    }
    if (this.#remaining === 0) this.#hasPayload();
  }

  #takePayload(): boolean {
    const inlet = this.#inlet;
    const count = Math.min(inlet.length, this.#remaining);
    if (count === 0) return false;
    const piece = inlet.take(count);
    this.#into?.set(piece, this.#at);
    this.#at += count;
    this.#remaining -= count;
    if (this.#remaining === 0) this.#hasPayload();
    return true;
  }

  #takeHeader(): boolean {
    const { bytes, start, length } = this.#inlet;
    if (length < REPLY_MAGIC_SIZE) return false;
    const size = replyHeaderSize(bytes, start);
    if (length < size) return false;
    const { structuredReplies, extendedHeaders } = this.#terms;
    if (size === EXTENDED_REPLY_SIZE ? !extendedHeaders : extendedHeaders) {
      throw broken(
        extendedHeaders
          ? 'sends a compact reply, though extended headers were agreed on'
          : 'sends an extended reply, which was not agreed on',
      );
    }
    if (size === SIMPLE_REPLY_SIZE) {
      this.#inlet.start += size;
      this.#simpleReply(decodeSimpleReply(bytes, start));
      return true;
    }
    if (!structuredReplies) throw broken('sends a structured reply, which was not agreed on');
    const chunk = extendedHeaders ? decodeExtendedReply(bytes, start) : decodeStructuredReply(bytes, start);
    const prefix =
      chunk.type === ReplyType.OFFSET_DATA
        ? OFFSET_DATA_PREFIX_SIZE
        : chunk.type === ReplyType.OFFSET_HOLE
          ? OFFSET_HOLE_SIZE
          : 0;
    if (length < size + prefix && chunk.length >= prefix) return false;
    const call = this.#asker.find(chunk.cookie);
    if (extendedHeaders && (chunk as ExtendedReply).offset !== call.offset) {
      throw broken(`answers offset ${(chunk as ExtendedReply).offset} to ${describeCall(call)}`);
    }
    this.#inlet.start += size;
    this.#chunk(call, chunk.type, chunk.length, (chunk.flags & ReplyFlag.DONE) !== 0);
    return true;
  }

  #simpleReply({ error, cookie }: { error: number; cookie: bigint }): void {
    const call = this.#asker.find(cookie);
    const isRead = call.command === Command.READ;
    if (isRead && this.#terms.structuredReplies) {
      throw broken('answers a read with a simple reply, though structured replies were agreed on');
    }
    if (error !== 0) call.error ??= serverError(call, error, '');
    else if (isRead) {
      this.#expect(call, 'data', true, call.into, Number(call.length));
      return;
    }
    this.#complete(call);
  }

  #chunk(call: Call, type: number, length: number, isLast: boolean): void {
    if (isErrorChunk(type)) {
      if (length > MAX_ERROR_LENGTH) throw broken(`announces an error of ${length} bytes`);
      this.#collect(call, 'error', type, length, isLast);
      return;
    }
    switch (type) {
      case ReplyType.NONE:
        if (length > 0) throw broken(`sends ${length} bytes in a chunk that has none`);
        if (!isLast) throw broken('sends an empty chunk that is not the last of its reply');
        this.#complete(call);
        return;
      case ReplyType.OFFSET_DATA:
        this.#data(call, length, isLast);
        return;
      case ReplyType.OFFSET_HOLE:
        this.#hole(call, length, isLast);
        return;
      case ReplyType.BLOCK_STATUS:
      case ReplyType.BLOCK_STATUS_EXT: {
        const { extendedHeaders } = this.#terms;
        if (call.command !== Command.BLOCK_STATUS) throw broken(`sends extents to ${describeCall(call)}`);
        if (extendedHeaders !== (type === ReplyType.BLOCK_STATUS_EXT)) {
          throw broken(`sends extents in the ${extendedHeaders ? 'compact' : 'extended'} form`);
        }
        if (length > (extendedHeaders ? MAX_EXTENDED_STATUS_LENGTH : MAX_STATUS_LENGTH)) {
          throw broken(`announces ${length} bytes of extents in one chunk`);
        }
        this.#collect(call, 'status', type, length, isLast);
        return;
      }
      default:
        throw broken(`sends a chunk of unknown type ${type}`);
    }
  }

  #data(call: Call, length: number, isLast: boolean): void {
    if (length <= OFFSET_DATA_PREFIX_SIZE) throw broken('sends a chunk of data without data');
    const offset = decodeOffsetDataPrefix(this.#inlet.bytes, this.#inlet.start);
    this.#inlet.start += OFFSET_DATA_PREFIX_SIZE;
    const size = length - OFFSET_DATA_PREFIX_SIZE;
    const at = this.#content(call, 'data', offset, size);
    this.#expect(call, 'data', isLast, call.into?.subarray(at, at + size), size);
  }

  #hole(call: Call, length: number, isLast: boolean): void {
    if (length !== OFFSET_HOLE_SIZE) throw broken(`sends a hole in ${length} bytes`);
    const hole = decodeOffsetHole(this.#inlet.bytes, this.#inlet.start);
    this.#inlet.start += OFFSET_HOLE_SIZE;
    const at = this.#content(call, 'a hole', hole.offset, hole.length);
    call.into?.fill(0, at, at + hole.length);
    call.holes?.add(hole.offset, BigInt(hole.length));
    if (isLast) this.#complete(call);
  }

  /** @returns where in the request the content chunk lies. */
  #content(call: Call, what: string, offset: bigint, length: number): number {
    if (call.command !== Command.READ) throw broken(`sends ${what} to ${describeCall(call)}`);
    const wrong = (how: string) =>
      broken(`sends ${what} of ${length} bytes at offset ${offset} that ${how}, to ${describeCall(call)}`);
    if (offset < call.offset || offset + BigInt(length) > call.offset + call.length) {
      throw wrong('was not asked for');
    }
    if (++call.chunks > 1 && (call.flags & CommandFlag.DF) !== 0) throw wrong('is a fragment');
    const at = Number(offset - call.offset);
    const mistake = call.coverage.add(at, at + length);
    if (mistake !== undefined) throw wrong(mistake);
    return at;
  }

  #collect(call: Call, kind: 'status' | 'error', type: number, length: number, isLast: boolean): void {
    if (length === 0) throw broken(`sends a chunk of type ${type} without anything in it`);
    this.#type = type;
    this.#expect(call, kind, isLast, new Uint8Array(length), length);
  }

  #expect(
    call: Call,
    kind: 'data' | 'status' | 'error',
    isLast: boolean,
    into: Uint8Array | undefined,
    length: number,
  ): void {
    this.#call = call;
    this.#kind = kind;
    this.#isLarge = length >= LARGE;
    this.#isLast = isLast;
    this.#into = into;
    this.#at = 0;
    this.#remaining = length;
  }

  #hasPayload(): void {
    const call = this.#call;
    const payload = this.#into;
    this.#into = undefined;
    if (this.#kind === 'status') readStatus(call, payload!, this.#terms, this.#contextIds);
    else if (this.#kind === 'error') this.#error(call, payload!);
    if (this.#isLast) this.#complete(call);
  }

  #error(call: Call, payload: Uint8Array): void {
    if (this.#type !== ReplyType.ERROR_OFFSET) {
      const { error, message } = decodeErrorChunk(payload);
      call.error ??= serverError(call, error, message);
      return;
    }
    const { error, message, offset } = decodeErrorOffsetChunk(payload);
    if (offset < call.offset || offset >= call.offset + call.length) {
      throw broken(`reports an error at offset ${offset} to ${describeCall(call)}`);
    }
    call.error ??= serverError(call, error, message, offset);
  }

  #complete(call: Call): void {
    if (call.error === undefined && call.command === Command.READ && this.#terms.structuredReplies) {
      if (!call.coverage.covers(Number(call.length))) {
        throw broken(`leaves a part out of what it answers to ${describeCall(call)}`);
      }
    }
    if (call.error === undefined && call.command === Command.BLOCK_STATUS) {
      const expected = call.oneContext ? 1 : this.#contextIds.size;
      if (call.contextsSeen?.size !== expected) {
        throw broken(`answers for ${call.contextsSeen?.size ?? 0} of ${expected} meta contexts`);
      }
    }
    this.#asker.answered(call);
  }
}
