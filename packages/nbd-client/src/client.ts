import {
  BASE_ALLOCATION,
  Command,
  CommandFlag,
  NbdError,
  type BlockDevice,
  type DeviceInfo,
  type ExtentSink,
} from '@nbd/protocol';
import { MAX_TIMER } from './dial.js';
import type { Dispatcher } from './dispatcher.js';
import { iterateExtents, type Extent } from './extents.js';
import { deviceInfoOf, featuresOf, type Features } from './features.js';
import { Operation, type Order } from './operation.js';
import type {
  CallOptions,
  DiskOptions,
  ExtentsOptions,
  ExtentsRange,
  ReadOptions,
  WriteOptions,
  ZeroOptions,
} from './options.js';
import type { Terms } from './session/terms.js';
import type { ReadStreamOptions } from './stream-reader.js';
import type { WriteStreamOptions } from './stream-writer.js';
import { readableOf, writableOf } from './web-streams.js';

/** Most bytes of data in one request, whatever the server allows: all servers take 32 MiB. */
const MAX_PAYLOAD = 32 << 20;

/** Most bytes of effect in one request with compact headers, which have room for 2^32 - 1. */
const MAX_COMPACT_EFFECT = 1n << 31n;
const MAX_EXTENDED_EFFECT = 1n << 62n;

/** What the connections lead to, if it is to end with them. */
export interface Owned {
  /** Called when no connection is left. */
  stop(): Promise<void>;
  /** The error for people, if connecting failed; called once it is stopped. */
  explain(error: unknown): unknown;
}

/**
 * A disk that a server somewhere serves.
 *
 * Every call takes an `AbortSignal` and a time limit. A call that is aborted rejects as soon as its buffer is not in
 * use any more: at once, unless it is a read into your buffer whose data is arriving at this moment, or a write that
 * waits to be sent. A call that runs into its time limit rejects at once, if need be at the price of its connection. A
 * request that was sent can't be recalled: the server may carry it out all the same.
 */
export class NbdClient implements BlockDevice {
  /** Bytes. */
  readonly size: bigint;
  readonly info: DeviceInfo;
  /** What was agreed on with the server. */
  readonly terms: Terms;
  /** What the server says that the export can do. */
  readonly can: Features;
  /** How many connections are used. */
  readonly connections: number;
  /** Makes `length` bytes from `offset` read as zeroes. Absent where the server can't. */
  readonly zero?: (offset: bigint, length: bigint, options?: ZeroOptions) => Promise<void>;
  /** Tells that `length` bytes from `offset` are no longer needed. Absent where the server can't. */
  readonly trim?: (offset: bigint, length: bigint, options?: WriteOptions) => Promise<void>;
  /** Tells that `length` bytes from `offset` will be read soon. Absent where the server can't. */
  readonly cache?: (offset: bigint, length: bigint, options?: CallOptions) => Promise<void>;
  /**
   * Settles once everything that was written before, on any connection, is on stable storage; writes that are still
   * under way are waited for. Absent where the server can't.
   */
  readonly flush?: (options?: CallOptions) => Promise<void>;

  readonly #dispatcher: Dispatcher;
  readonly #server: Owned | undefined;
  readonly #timeout: number;
  /** Longest pieces of requests with and without data: multiples of the minimum block size. */
  readonly #piece: bigint;
  readonly #effectPiece: bigint;
  #closed: Promise<void> | undefined;

  /** Made by {@link openDisk}. */
  constructor(
    dispatcher: Dispatcher,
    terms: Terms,
    connections: number,
    options: DiskOptions,
    server: Owned | undefined,
  ) {
    const { minimum, maximum } = terms.blockSize;
    this.size = terms.size;
    this.info = deviceInfoOf(terms);
    this.terms = terms;
    this.can = featuresOf(terms.flags);
    this.connections = connections;
    this.#dispatcher = dispatcher;
    this.#server = server;
    this.#timeout = options.timeout ?? 0;
    const payload = Math.min(maximum, MAX_PAYLOAD);
    this.#piece = BigInt(payload - (payload % minimum));
    this.#effectPiece = terms.extendedHeaders ? MAX_EXTENDED_EFFECT : MAX_COMPACT_EFFECT;
    const { readOnly, zero, trim, cache, flush } = this.can;
    if (zero && !readOnly) this.zero = (offset, length, options) => this.#zero(offset, length, options);
    if (trim && !readOnly) this.trim = (offset, length, options) => this.#trim(offset, length, options);
    if (cache) this.cache = (offset, length, options) => this.#cache(offset, length, options);
    if (flush) this.flush = (options) => this.#flush(options);
  }

  /**
   * Reads, into a buffer of yours or into a new one.
   * @param offset bytes from the start of the disk
   * @param into what to fill, of any length; or how many bytes to read
   * @throws NbdError EINVAL for a range outside the disk; what the server reports; EPROTO if it breaks the protocol.
   */
  read(offset: bigint, into: Uint8Array, options?: ReadOptions): Promise<void>;
  read(offset: bigint, length: number, options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>>;
  read(
    offset: bigint,
    into: Uint8Array | number,
    options?: ReadOptions,
  ): Promise<void | Uint8Array<ArrayBuffer>> {
    if (typeof into !== 'number') return this.#read(offset, into, true, options);
    // Before the buffer is made: a wrong length may be any number.
    const mistake = this.#mistakeIn('read', offset, lengthOf(into), 1);
    if (mistake) return Promise.reject(mistake);
    const buffer = new Uint8Array(into);
    return this.#read(offset, buffer, false, options).then(() => buffer);
  }

  /**
   * Writes all of `from`, which must stay as it is until the call has settled.
   * @throws NbdError EINVAL for a range outside the disk, or one that the server's minimum block size does not divide;
   *   EPERM if the disk is read-only; what the server reports.
   */
  write(offset: bigint, from: Uint8Array, options?: WriteOptions): Promise<void> {
    if (this.can.readOnly) return Promise.reject(new NbdError('EPERM', 'the disk is read-only'));
    return this.#withFua(options, (flags) =>
      this.#run('write', {
        command: Command.WRITE,
        flags,
        offset,
        length: BigInt(from.length),
        buffer: from,
        isUsersBuffer: true,
        piece: this.#piece,
        ...this.#limits(options),
      }),
    );
  }

  /**
   * With a sink, describes the extents from `offset` on: at least one, and as many as the server likes to tell at once
   * (see `BlockDevice`). Without, iterates over the extents of the whole disk or of a range, merged where they are
   * alike, and asks the server ahead. A disk whose server does not tell is data all over.
   *
   * ```ts
   * for await (const { offset, length, zero } of disk.extents()) {
   *   console.log(offset, length, zero ? 'zeroes' : 'data');
   * }
   * ```
   *
   * @throws NbdError ENOTSUP for a meta context that was not agreed on (name it in `contexts` when connecting).
   */
  extents(offset: bigint, length: bigint, sink: ExtentSink, options?: ExtentsOptions): Promise<void>;
  extents(range?: ExtentsRange): AsyncGenerator<Extent, void>;
  extents(
    offset: bigint | ExtentsRange = {},
    length?: bigint,
    sink?: ExtentSink,
    options?: ExtentsOptions,
  ): Promise<void> | AsyncGenerator<Extent, void> {
    if (typeof offset === 'bigint') return this.#extents(offset, length!, sink!, options);
    const { offset: start = 0n, length: size = this.size - start, ...rest } = offset;
    return iterateExtents(this, start, size, rest);
  }

  /** A web stream of the disk's bytes, which reads ahead. */
  readable(options: ReadStreamOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readableOf(this, options);
  }

  /**
   * A web stream that writes to the disk, from its start or from an offset on, and flushes it at its end.
   * @throws NbdError EROFS if the disk is read-only; EINVAL if the offset is not at a block.
   */
  writable(options: WriteStreamOptions = {}): WritableStream<Uint8Array> {
    return writableOf(this, options);
  }

  /** Waits until all calls have settled, and says goodbye to the server. Calls made afterwards reject with ESHUTDOWN. */
  close(): Promise<void> {
    return (this.#closed ??= this.#dispatcher.close().finally(() => this.#server?.stop()));
  }

  /** Closes the connections now. Calls under way reject, with this error if one is given. */
  destroy(reason = new NbdError('ESHUTDOWN', 'the client was destroyed')): void {
    this.#dispatcher.destroy(reason);
    void this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #read(
    offset: bigint,
    into: Uint8Array,
    isUsersBuffer: boolean,
    options: ReadOptions | undefined,
  ): Promise<void> {
    const length = BigInt(into.length);
    const minimum = BigInt(this.terms.blockSize.minimum);
    if (minimum > 1n && (offset % minimum !== 0n || length % minimum !== 0n)) {
      return this.#readUnaligned(offset, into, options);
    }
    return this.#run('read', {
      command: Command.READ,
      flags: options?.dontFragment === true && this.can.df ? CommandFlag.DF : 0,
      offset,
      length,
      buffer: into,
      isUsersBuffer,
      holes: options?.holes,
      piece: this.#piece,
      ...this.#limits(options),
    });
  }

  /** Reads the whole blocks around it. */
  async #readUnaligned(offset: bigint, into: Uint8Array, options: ReadOptions | undefined): Promise<void> {
    const length = BigInt(into.length);
    const mistake = this.#mistakeIn('read', offset, length, 1);
    if (mistake) throw mistake;
    const minimum = BigInt(this.terms.blockSize.minimum);
    const start = offset - (offset % minimum);
    const end = offset + length + ((minimum - ((offset + length) % minimum)) % minimum);
    const blocks = new Uint8Array(Number(end - start));
    // Holes would reach beyond what was asked for; they are a hint, and can be left out.
    const { holes: _, ...rest } = options ?? {};
    await this.#read(start, blocks, false, rest);
    const at = Number(offset - start);
    into.set(blocks.subarray(at, at + into.length));
  }

  #zero(offset: bigint, length: bigint, options: ZeroOptions | undefined): Promise<void> {
    if (options?.fastZero === true && !this.can.fastZero) {
      return Promise.reject(new NbdError('ENOTSUP', 'the server can not say whether zeroing is fast'));
    }
    const more =
      (options?.noHole === true ? CommandFlag.NO_HOLE : 0) |
      (options?.fastZero === true ? CommandFlag.FAST_ZERO : 0);
    return this.#withFua(options, (flags) =>
      this.#effect('zero', Command.WRITE_ZEROES, flags | more, offset, length, options),
    );
  }

  #trim(offset: bigint, length: bigint, options: WriteOptions | undefined): Promise<void> {
    return this.#withFua(options, (flags) =>
      this.#effect('trim', Command.TRIM, flags, offset, length, options),
    );
  }

  #cache(offset: bigint, length: bigint, options: CallOptions | undefined): Promise<void> {
    // Servers that read the data for it (qemu) bound it like a read.
    return this.#effect('cache', Command.CACHE, 0, offset, length, options, this.#piece);
  }

  #flush(options: CallOptions | undefined): Promise<void> {
    const order = { command: Command.FLUSH, flags: 0, offset: 0n, length: 0n, piece: 1n };
    return this.#start({ ...order, ...this.#limits(options) });
  }

  async #extents(
    offset: bigint,
    length: bigint,
    sink: ExtentSink,
    options: ExtentsOptions | undefined,
  ): Promise<void> {
    const context = options?.context ?? BASE_ALLOCATION;
    const known = this.terms.contexts.has(context);
    if (!known && context !== BASE_ALLOCATION) {
      throw new NbdError('ENOTSUP', `the meta context ${context} was not agreed on with the server`);
    }
    const mistake = this.#mistakeIn('extents', offset, length, known ? this.terms.blockSize.minimum : 1);
    if (mistake) throw mistake;
    if (length === 0n) return;
    if (!known) {
      sink.add(length, 0);
      return;
    }
    const size = length < this.#effectPiece ? length : this.#effectPiece;
    await this.#start({
      command: Command.BLOCK_STATUS,
      flags: options?.one === true ? CommandFlag.REQ_ONE : 0,
      offset,
      length: size,
      piece: size,
      extents: sink,
      context,
      oneContext: this.can.blockStatusPayload && this.terms.contexts.size > 1,
      ...this.#limits(options),
    });
  }

  #effect(
    what: string,
    command: number,
    flags: number,
    offset: bigint,
    length: bigint,
    options: CallOptions | undefined,
    piece = this.#effectPiece,
  ): Promise<void> {
    return this.#run(what, { command, flags, offset, length, piece, ...this.#limits(options) });
  }

  #withFua(options: WriteOptions | undefined, run: (flags: number) => Promise<void>): Promise<void> {
    if (options?.fua !== true) return run(0);
    if (this.can.fua) return run(CommandFlag.FUA);
    if (!this.can.flush) {
      return Promise.reject(
        new NbdError('ENOTSUP', 'the server has neither FUA nor flush: nothing is certain to be stored'),
      );
    }
    return run(0).then(() => this.#flush(options));
  }

  #run(what: string, order: Order): Promise<void> {
    const mistake = this.#mistakeIn(what, order.offset, order.length, this.terms.blockSize.minimum);
    if (mistake) return Promise.reject(mistake);
    return order.length === 0n ? Promise.resolve() : this.#start(order);
  }

  #start(order: Order): Promise<void> {
    const operation = new Operation(order, this.#dispatcher);
    this.#dispatcher.start(operation);
    return operation.promise;
  }

  #limits(options: CallOptions | undefined): Pick<Order, 'signal' | 'timeout'> {
    return {
      signal: options?.signal,
      timeout: Math.min(options?.timeout ?? this.#timeout, MAX_TIMER),
    };
  }

  #mistakeIn(what: string, offset: bigint, length: bigint, alignment: number): NbdError | undefined {
    if (offset < 0n || length < 0n || offset + length > this.size) {
      return new NbdError(
        'EINVAL',
        `${what}: ${length} bytes at offset ${offset} are not within the disk's ${this.size} bytes`,
      );
    }
    if (alignment > 1 && (offset % BigInt(alignment) !== 0n || length % BigInt(alignment) !== 0n)) {
      return new NbdError(
        'EINVAL',
        `${what}: ${length} bytes at offset ${offset} are not whole blocks; the server's have ${alignment} bytes`,
      );
    }
    return undefined;
  }
}

/** @returns -1 for what is no length. */
function lengthOf(length: number): bigint {
  return Number.isSafeInteger(length) ? BigInt(length) : -1n;
}
