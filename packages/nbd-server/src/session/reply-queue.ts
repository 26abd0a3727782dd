import {
  Command,
  encodeErrorChunk,
  encodeErrorOffsetChunk,
  encodeExtendedReply,
  encodeOffsetDataPrefix,
  encodeOffsetHole,
  encodeSimpleReply,
  encodeStructuredReply,
  EXTENDED_REPLY_SIZE,
  OFFSET_DATA_PREFIX_SIZE,
  OFFSET_HOLE_SIZE,
  ReplyFlag,
  ReplyType,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
  type ByteTransport,
  type KernelPipe,
  type Request,
} from '@nbd/protocol';
import type { BufferPool } from '@nbd/transport/pool';
import type { Failure } from './failure.js';
import type { Piece } from './read-pieces.js';

export type ReplyStyle = 'simple' | 'structured' | 'extended';

/** Headers, and payloads that are small: they are cheaper to copy than to send as chunks of their own. */
const ARENA_SIZE = 64 << 10;

/** A read up to this many bytes is answered from the arena. */
export const SMALL_READ = 16 << 10;

/** A buffer that fills up with replies, and goes back to the pool when the last of them is sent. */
interface Arena {
  readonly bytes: Uint8Array;
  used: number;
  users: number;
}

/** Stands for one until one is needed: it has no room, and is never given back. */
const NO_ARENA: Arena = { bytes: new Uint8Array(0), used: ARENA_SIZE, users: Infinity };

/** What leaves together. */
interface Batch {
  readonly chunks: Uint8Array[];
  readonly buffers: Uint8Array[];
  readonly arenas: Arena[];
  requests: number;
  bytes: number;
  /** Bytes of the chunks. */
  size: number;
}

/** A place in an arena for a small read: its header goes in front of `payload`. */
export interface Reservation {
  readonly arena: Arena;
  readonly start: number;
  readonly payload: Uint8Array;
}

/**
 * The replies of one connection, in the style that was agreed on. They are collected until `flush`, and then leave
 * in one write.
 */
export class ReplyQueue {
  readonly #transport: ByteTransport;
  readonly #style: ReplyStyle;
  readonly #pool: BufferPool;
  readonly #released: (requests: number, bytes: number) => void;
  /** Bytes in front of the payload of a read. */
  readonly #readHeader: number;
  #arena = NO_ARENA;
  /** Where the replies that are not in the batch's chunks yet begin. */
  #arenaStart = NO_ARENA.used;
  #batch = emptyBatch();

  /** @param released told how many requests, and bytes of their payload, have left */
  constructor(
    transport: ByteTransport,
    style: ReplyStyle,
    pool: BufferPool,
    released: (requests: number, bytes: number) => void,
  ) {
    this.#transport = transport;
    this.#style = style;
    this.#pool = pool;
    this.#released = released;
    this.#readHeader =
      style === 'simple'
        ? SIMPLE_REPLY_SIZE
        : OFFSET_DATA_PREFIX_SIZE + (style === 'structured' ? STRUCTURED_REPLY_SIZE : EXTENDED_REPLY_SIZE);
  }

  /** Bytes of replies that have not left. Those of the arena that is being filled may be missing: they are few. */
  get unsent(): number {
    return this.#batch.size + this.#transport.queuedBytes;
  }

  /** The answer to anything that went well and returns nothing. */
  success(request: Request, bytes: number): void {
    // With structured replies a READ never gets a simple reply, and one of 0 bytes comes here.
    const isSimple =
      this.#style === 'simple' || (this.#style === 'structured' && request.command !== Command.READ);
    if (isSimple) this.#simple(request, 0);
    else this.#chunk(request, ReplyFlag.DONE, ReplyType.NONE, 0);
    this.#count(bytes);
  }

  /** The answer to what went wrong. */
  failure(request: Request, { value, message, offset }: Failure, bytes: number): void {
    if (this.#style === 'simple') {
      this.#simple(request, value);
    } else {
      const [type, payload] =
        offset === undefined
          ? [ReplyType.ERROR, encodeErrorChunk({ error: value, message })]
          : [ReplyType.ERROR_OFFSET, encodeErrorOffsetChunk({ error: value, message, offset })];
      this.#chunk(request, ReplyFlag.DONE, type, payload.length);
      this.#copy(payload);
    }
    this.#count(bytes);
  }

  /** Takes a place for a small read. `answerInPlace` or `abandon` follows. */
  reserve(length: number): Reservation {
    const size = this.#readHeader + length;
    const start = this.#take(size);
    const arena = this.#arena;
    return { arena, start, payload: arena.bytes.subarray(start + this.#readHeader, start + size) };
  }

  /** Answers the read whose reservation was the last thing put into the queue. */
  answerInPlace(request: Request, { arena, start, payload }: Reservation): void {
    this.#encodeReadHeader(arena.bytes, start, request, payload.length);
    this.#count(payload.length);
  }

  /** Gives up the last thing put into the queue. */
  abandon({ start }: Reservation): void {
    this.#arena.used = start;
  }

  /** Takes a reservation, the last thing put into the queue, out of the order: its answer comes later. */
  postpone({ arena, start }: Reservation): void {
    const end = arena.used;
    arena.used = start;
    this.#cut();
    arena.used = end;
    this.#arenaStart = end;
    arena.users++;
  }

  answerPostponed(request: Request, { arena, start, payload }: Reservation): void {
    this.#encodeReadHeader(arena.bytes, start, request, payload.length);
    this.#cut();
    this.#push(arena.bytes.subarray(start, start + this.#readHeader + payload.length));
    this.#batch.arenas.push(arena);
    this.#count(payload.length);
  }

  dropPostponed({ arena }: Reservation): void {
    this.#leave(arena);
  }

  /** Answers a read with the first `length` bytes of a buffer of the pool, which goes back there. */
  data(request: Request, buffer: Uint8Array, length: number): void {
    const at = this.#take(this.#readHeader);
    this.#encodeReadHeader(this.#arena.bytes, at, request, length);
    this.#append(buffer.subarray(0, length));
    this.#batch.buffers.push(buffer);
    this.#count(length);
  }

  /**
   * A pipe for the payload of a read, with its header in it; undefined where the transport has none. `sendPipe` or the
   * pipe's `discard` follows.
   */
  openPipe(request: Request, length: number): KernelPipe | undefined {
    const pipe = this.#transport.openPipe?.(this.#readHeader + length);
    if (!pipe) return undefined;
    const header = new Uint8Array(this.#readHeader);
    this.#encodeReadHeader(header, 0, request, length);
    if (pipe.addBytes(header)) return pipe;
    pipe.discard();
    return undefined;
  }

  /** Answers a read with what is in its pipe. @returns false, and has forgotten the pipe, if that is not all of it */
  sendPipe(pipe: KernelPipe, length: number): boolean {
    if (pipe.length !== this.#readHeader + length) {
      pipe.discard();
      return false;
    }
    this.#transport.sendPipe!(pipe, () => {
      this.#released(1, length);
    });
    return true;
  }

  /** Answers a read in several chunks. */
  pieces(request: Request, buffer: Uint8Array, length: number, pieces: readonly Piece[]): void {
    pieces.forEach((piece, index) => {
      const flags = index === pieces.length - 1 ? ReplyFlag.DONE : 0;
      const offset = request.offset + BigInt(piece.start);
      if (piece.hole) {
        this.#chunk(request, flags, ReplyType.OFFSET_HOLE, OFFSET_HOLE_SIZE);
        const at = this.#take(OFFSET_HOLE_SIZE);
        encodeOffsetHole(this.#arena.bytes, at, offset, piece.length);
      } else {
        this.#chunk(request, flags, ReplyType.OFFSET_DATA, OFFSET_DATA_PREFIX_SIZE + piece.length);
        const at = this.#take(OFFSET_DATA_PREFIX_SIZE);
        encodeOffsetDataPrefix(this.#arena.bytes, at, offset);
        this.#append(buffer.subarray(piece.start, piece.start + piece.length));
      }
    });
    this.#batch.buffers.push(buffer);
    this.#count(length);
  }

  /** Answers a block status request: one payload for each context. */
  blockStatus(request: Request, payloads: readonly Uint8Array[], bytes: number): void {
    const type = this.#style === 'extended' ? ReplyType.BLOCK_STATUS_EXT : ReplyType.BLOCK_STATUS;
    payloads.forEach((payload, index) => {
      this.#chunk(request, index === payloads.length - 1 ? ReplyFlag.DONE : 0, type, payload.length);
      if (payload.length <= SMALL_READ) this.#copy(payload);
      else this.#append(payload);
    });
    this.#count(bytes);
  }

  /** Sends what has been put into the queue. */
  flush(): void {
    this.#cut();
    const batch = this.#batch;
    if (batch.chunks.length === 0) return;
    this.#batch = emptyBatch();
    this.#transport.write(batch.chunks, () => {
      for (const buffer of batch.buffers) this.#pool.give(buffer);
      for (const arena of batch.arenas) this.#leave(arena);
      this.#leaveIdleArena();
      this.#released(batch.requests, batch.bytes);
    });
  }

  #count(bytes: number): void {
    this.#batch.requests++;
    this.#batch.bytes += bytes;
  }

  #encodeReadHeader(into: Uint8Array, at: number, request: Request, length: number): void {
    if (this.#style === 'simple') {
      encodeSimpleReply(into, at, 0, request.cookie);
      return;
    }
    this.#encodeChunk(
      into,
      at,
      request,
      ReplyFlag.DONE,
      ReplyType.OFFSET_DATA,
      OFFSET_DATA_PREFIX_SIZE + length,
    );
    encodeOffsetDataPrefix(into, at + this.#readHeader - OFFSET_DATA_PREFIX_SIZE, request.offset);
  }

  #simple(request: Request, error: number): void {
    const at = this.#take(SIMPLE_REPLY_SIZE);
    encodeSimpleReply(this.#arena.bytes, at, error, request.cookie);
  }

  #chunk(request: Request, flags: number, type: number, length: number): void {
    const at = this.#take(this.#style === 'extended' ? EXTENDED_REPLY_SIZE : STRUCTURED_REPLY_SIZE);
    this.#encodeChunk(this.#arena.bytes, at, request, flags, type, length);
  }

  #encodeChunk(
    into: Uint8Array,
    at: number,
    request: Request,
    flags: number,
    type: number,
    length: number,
  ): void {
    if (this.#style === 'extended') {
      encodeExtendedReply(into, at, flags, type, request.cookie, request.offset, length);
    } else {
      encodeStructuredReply(into, at, flags, type, request.cookie, length);
    }
  }

  #copy(bytes: Uint8Array): void {
    const at = this.#take(bytes.length);
    this.#arena.bytes.set(bytes, at);
  }

  /** Room for `size` bytes in the arena, or in the next one: `#arena` is another then. */
  #take(size: number): number {
    if (this.#arena.used + size > ARENA_SIZE) {
      this.#cut();
      this.#leave(this.#arena);
      this.#arena = this.#newArena();
      this.#arenaStart = 0;
    }
    const at = this.#arena.used;
    this.#arena.used += size;
    return at;
  }

  /** A chunk that is no part of the arena. */
  #append(chunk: Uint8Array): void {
    this.#cut();
    this.#push(chunk);
  }

  #push(chunk: Uint8Array): void {
    this.#batch.chunks.push(chunk);
    this.#batch.size += chunk.length;
  }

  /** Moves what stands in the arena to the batch. */
  #cut(): void {
    const arena = this.#arena;
    if (this.#arenaStart === arena.used) return;
    this.#push(arena.bytes.subarray(this.#arenaStart, arena.used));
    this.#arenaStart = arena.used;
    if (this.#batch.arenas.at(-1) !== arena) {
      this.#batch.arenas.push(arena);
      arena.users++;
    }
  }

  #newArena(): Arena {
    return { bytes: this.#pool.take(ARENA_SIZE), used: 0, users: 1 };
  }

  /** Many connections are idle: an arena is for those that have something to send. */
  #leaveIdleArena(): void {
    const arena = this.#arena;
    const isIdle = arena.users === 1 && arena.used === this.#arenaStart;
    if (!isIdle) return;
    this.#leave(arena);
    this.#arena = NO_ARENA;
    this.#arenaStart = NO_ARENA.used;
  }

  #leave(arena: Arena): void {
    if (--arena.users === 0) this.#pool.give(arena.bytes);
  }
}

function emptyBatch(): Batch {
  return { chunks: [], buffers: [], arenas: [], requests: 0, bytes: 0, size: 0 };
}
