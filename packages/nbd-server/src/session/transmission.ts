import {
  Command,
  CommandFlag,
  decodeBlockStatusPayload,
  decodeExtendedRequest,
  decodeRequest,
  EXTENDED_REQUEST_SIZE,
  isNbdError,
  isPromise,
  MAX_DEVICE_SIZE,
  NbdError,
  REQUEST_SIZE,
  type Awaitable,
  type BlockDevice,
  type ByteTransport,
  type Request,
} from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import { BufferPool } from '@nbd/transport/pool';
import { longestStatus, queryStatus } from './block-status.js';
import { RequestChecker } from './check-request.js';
import { HardDisconnect } from './disconnect.js';
import { failureOf } from './failure.js';
import type { Agreement } from './agreement.js';
import { ABSURD_PAYLOAD, type SessionLimits } from './limits.js';
import { describe } from './printable.js';
import { HoleCollector } from './read-pieces.js';
import type { ReceiveWindow } from './receive-window.js';
import { ReplyQueue, SMALL_READ } from './reply-queue.js';

/** What the transmission phase needs of its session. */
export interface TransmissionHost {
  readonly transport: ByteTransport;
  readonly limits: SessionLimits;
  readonly log: Log;
  /** The server is ending: new requests are refused. */
  readonly shuttingDown: boolean;
  /** The first request after `idle`, or at all. */
  busy(): void;
  /** Replies have left and nothing is under way. */
  idle(): void;
  /** There is room for requests again, after `consume` returned false. */
  unblocked(): void;
  /** An answer could not be made, which is a fault of ours. */
  broken(error: unknown): void;
}

/** A payload on its way in. */
interface Incoming {
  readonly request: Request;
  readonly buffer: Uint8Array;
  readonly length: number;
  received: number;
}

/** Bytes that the pool of one connection keeps. */
const POOLED = 8 << 20;

/** The server's side of the transmission phase. Protocol document, "Transmission". */
export class Transmission {
  readonly #host: TransmissionHost;
  readonly #agreement: Agreement;
  readonly #device: BlockDevice;
  readonly #checker: RequestChecker;
  readonly #replies: ReplyQueue;
  readonly #pool = new BufferPool({ maxIdle: POOLED });
  readonly #gone = new AbortController();
  readonly #headerSize: number;
  /** Bytes of payload: more is refused, or ends the connection. */
  readonly #maximum: bigint;
  readonly #absurd: bigint;
  /** Requests, and bytes of their payload, that are taken up and whose replies have not left. */
  #requests = 0;
  #bytes = 0;
  /** Calls of the device that have not settled. */
  #calls = 0;
  #incoming: Incoming | undefined;
  /** Bytes of a refused payload still to come. */
  #skip = 0;
  #blocked = false;
  #disconnecting = false;
  #isOver = false;
  /** Tells that the last call has settled after the connection was over. */
  #settled: (() => void) | undefined;
  #flushPlanned = false;
  /** Whether the last small read was answered at once: then the next one is likely to be. */
  #readsAtOnce = false;

  constructor(host: TransmissionHost, agreement: Agreement) {
    this.#host = host;
    this.#agreement = agreement;
    this.#device = agreement.export.device;
    this.#checker = new RequestChecker(agreement);
    this.#headerSize = agreement.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
    const { maximum } = agreement.export.blockSize;
    this.#maximum = BigInt(maximum);
    this.#absurd = BigInt(Math.max(ABSURD_PAYLOAD, maximum));
    const style = agreement.extendedHeaders
      ? 'extended'
      : agreement.structuredReplies
        ? 'structured'
        : 'simple';
    this.#replies = new ReplyQueue(host.transport, style, this.#pool, (requests, bytes) => {
      this.#left(requests, bytes);
    });
  }

  /** Nothing is under way: no call of the device and, while there is a client, no reply to it. */
  get isIdle(): boolean {
    return this.#calls === 0 && (this.#isOver || this.#requests === 0);
  }

  /** The client sent DISC: it wants nothing more. */
  get isDisconnecting(): boolean {
    return this.#disconnecting;
  }

  /**
   * The connection is over. What came before a DISC is carried out all the same; other calls may stop.
   * @returns a promise that settles when the device has nothing to do any more
   */
  end(): Promise<void> {
    this.#isOver = true;
    if (!this.#disconnecting) this.abandon();
    return this.#calls === 0 ? Promise.resolve() : new Promise((resolve) => (this.#settled = resolve));
  }

  /** The device is about to be closed: calls that did not settle in time are to make no other. */
  abandon(): void {
    this.#gone.abort(new NbdError('ECONNRESET', 'the client is gone'));
  }

  get isReceivingPayload(): boolean {
    return this.#incoming !== undefined;
  }

  /** Where the next bytes belong, while a payload is coming in. */
  payloadRoom(): Uint8Array | undefined {
    const incoming = this.#incoming;
    return incoming?.buffer.subarray(incoming.received, incoming.length);
  }

  /** `count` bytes were put into `payloadRoom`; `consume` follows. */
  payloadReceived(count: number): void {
    this.#incoming!.received += count;
  }

  /**
   * Consumes the requests that are there.
   * @returns false if it stopped at a limit: `unblocked` tells when to go on
   * @throws if the client broke a rule that leaves nothing to say to it
   */
  consume(window: ReceiveWindow): boolean {
    this.#blocked = false;
    while (!this.#disconnecting) {
      if (this.#incoming && !this.#fill(this.#incoming, window)) break;
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, window.length);
        window.start += count;
        this.#skip -= count;
        if (this.#skip > 0) break;
      }
      if (window.length < this.#headerSize) break;
      const request = this.#agreement.extendedHeaders
        ? decodeExtendedRequest(window.bytes, window.start)
        : decodeRequest(window.bytes, window.start);
      if (!this.#hasRoom(request)) {
        this.#blocked = true;
        break;
      }
      window.start += this.#headerSize;
      this.#take(request);
    }
    this.#replies.flush();
    if (this.#disconnecting) {
      // Nothing follows a DISC. It goes on to receive, to see the client leave.
      window.start = window.end;
      if (this.isIdle) this.#host.idle();
    }
    return !this.#blocked;
  }

  #hasRoom(request: Request): boolean {
    const { limits } = this.#host;
    if (this.#requests === 0) return true;
    if (this.#requests >= limits.requests) return false;
    return this.#bytes + this.#bytesOf(request) <= limits.bytes;
  }

  /** Bytes that a request will take of those that may be under way. */
  #bytesOf({ command, flags, length }: Request): number {
    if (command === Command.READ || command === Command.WRITE) {
      // What is longer than any payload is refused, and needs no room.
      return length > this.#maximum ? 0 : Number(length);
    }
    if (command !== Command.BLOCK_STATUS) return 0;
    // With a payload, that says what the request is about.
    const { contexts, extendedHeaders } = this.#agreement;
    const isFiltered = (flags & CommandFlag.PAYLOAD_LEN) !== 0;
    return contexts.length * longestStatus(isFiltered ? MAX_DEVICE_SIZE : length, extendedHeaders);
  }

  #take(request: Request): void {
    if (request.command === Command.DISC) {
      this.#disconnecting = true;
      return;
    }
    const payload = this.#payloadLength(request);
    if (this.#requests++ === 0) this.#host.busy();
    const refusal = this.#host.shuttingDown
      ? new NbdError('ESHUTDOWN', 'the server is ending')
      : this.#checker.check(request);
    if (refusal) {
      this.#skip = payload;
      this.#fail(request, refusal, 0);
    } else if (payload > 0) {
      this.#bytes += payload;
      this.#incoming = { request, buffer: this.#pool.take(payload), length: payload, received: 0 };
    } else {
      this.#perform(request);
    }
  }

  /**
   * Takes of a payload what has come through the window: its start, and what was received while the transport still
   * had the window's buffer.
   * @returns whether it is complete
   */
  #fill(incoming: Incoming, window: ReceiveWindow): boolean {
    if (window.length > 0) {
      const count = Math.min(incoming.length - incoming.received, window.length);
      incoming.buffer.set(window.take(count), incoming.received);
      incoming.received += count;
    }
    if (incoming.received < incoming.length) return false;
    this.#payloadComplete(incoming);
    return true;
  }

  /** Bytes that follow the request. Protocol document, "Request message". */
  #payloadLength({ command, flags, length }: Request): number {
    if (this.#agreement.extendedHeaders) {
      if ((flags & CommandFlag.PAYLOAD_LEN) === 0) return 0;
      // "A server SHOULD initiate hard disconnect if a client sets the NBD_CMD_FLAG_PAYLOAD_LEN flag and uses a
      // length larger than a server's advertised or default maximum payload length."
      if (length > this.#maximum)
        throw new HardDisconnect(`a payload of ${length} bytes: ${this.#maximum} are the most`);
      return Number(length);
    }
    if (command !== Command.WRITE) return 0;
    if (length > this.#absurd) throw new HardDisconnect(`a write of ${length} bytes`);
    return Number(length);
  }

  #payloadComplete({ request, buffer, length }: Incoming): void {
    this.#incoming = undefined;
    const payload = buffer.subarray(0, length);
    if (request.command === Command.WRITE) {
      const fua = (request.flags & CommandFlag.FUA) !== 0;
      const { signal } = this.#gone;
      this.#call(request, length, buffer, () =>
        this.#device.write!(request.offset, payload, { fua, signal }),
      );
      return;
    }
    this.#blockStatusOf(request, payload);
    this.#pool.give(buffer);
  }

  #perform(request: Request): void {
    const { offset, length, flags, command } = request;
    const device = this.#device;
    const fua = (flags & CommandFlag.FUA) !== 0;
    const { signal } = this.#gone;
    if (length === 0n && command !== Command.FLUSH) {
      this.#empty(request);
      return;
    }
    switch (command) {
      case Command.READ:
        this.#read(request, Number(length));
        return;
      case Command.FLUSH:
        this.#call(request, 0, undefined, () => device.flush!({ signal }));
        return;
      case Command.TRIM:
        this.#call(request, 0, undefined, () => device.trim!(offset, length, { fua, signal }));
        return;
      case Command.CACHE:
        this.#call(request, 0, undefined, () => device.cache!(offset, length, { signal }));
        return;
      case Command.WRITE_ZEROES: {
        const noHole = (flags & CommandFlag.NO_HOLE) !== 0;
        const fastZero = (flags & CommandFlag.FAST_ZERO) !== 0;
        this.#call(request, 0, undefined, () =>
          device.zero!(offset, length, { fua, noHole, fastZero, signal }),
        );
        return;
      }
      case Command.BLOCK_STATUS:
        this.#blockStatus(
          request,
          length,
          this.#agreement.contexts.map(({ id }) => id),
        );
        return;
      default:
        // Only an extended WRITE without PAYLOAD_LEN gets here.
        this.#refuse(request, 'a write without its payload');
    }
  }

  /** "The client SHOULD NOT request a length of 0; the behavior is unspecified although the server SHOULD NOT disconnect." */
  #empty(request: Request): void {
    if (request.command !== Command.BLOCK_STATUS) this.#replies.success(request, 0);
    else this.#refuse(request, 'a block status of 0 bytes');
  }

  /** Runs a command that returns nothing, and answers it. `buffer` goes back to the pool. */
  #call(
    request: Request,
    bytes: number,
    buffer: Uint8Array | undefined,
    command: () => Awaitable<void>,
  ): void {
    this.#settle(
      command,
      () => {
        this.#replies.success(request, bytes);
      },
      (error) => {
        this.#fail(request, error, bytes);
      },
      () => {
        if (buffer) this.#pool.give(buffer);
      },
    );
  }

  #read(request: Request, length: number): void {
    this.#bytes += length;
    if (length <= SMALL_READ && this.#readsAtOnce) this.#readInPlace(request, length);
    else this.#readIntoBuffer(request, length);
  }

  /** A small read of a device that answers at once goes into the batch of replies directly. */
  #readInPlace(request: Request, length: number): void {
    const place = this.#replies.reserve(length);
    const { signal } = this.#gone;
    let result: Awaitable<void>;
    try {
      result = this.#device.read(request.offset, place.payload, { signal });
    } catch (error) {
      this.#replies.abandon(place);
      this.#fail(request, error, length);
      return;
    }
    if (!isPromise(result)) {
      this.#replies.answerInPlace(request, place);
      return;
    }
    this.#readsAtOnce = false;
    this.#replies.postpone(place);
    this.#settle(
      () => result,
      () => {
        this.#replies.answerPostponed(request, place);
      },
      (error) => {
        this.#replies.dropPostponed(place);
        this.#fail(request, error, length);
      },
    );
  }

  #readIntoBuffer(request: Request, length: number): void {
    const buffer = this.#pool.take(length);
    const into = buffer.subarray(0, length);
    const { signal } = this.#gone;
    const mayCut = this.#agreement.structuredReplies && (request.flags & CommandFlag.DF) === 0;
    const holes = mayCut && length > SMALL_READ ? new HoleCollector(request.offset, length) : undefined;
    let atOnce = true;
    this.#settle(
      () => this.#device.read(request.offset, into, holes ? { signal, holes } : { signal }),
      () => {
        this.#readsAtOnce = atOnce;
        const pieces = holes?.pieces();
        if (pieces) this.#replies.pieces(request, buffer, length, pieces);
        else this.#replies.data(request, buffer, length);
      },
      (error) => {
        this.#pool.give(buffer);
        this.#fail(request, error, length);
      },
    );
    atOnce = false;
  }

  #blockStatusOf(request: Request, payload: Uint8Array): void {
    this.#bytes -= payload.length;
    let query;
    try {
      query = decodeBlockStatusPayload(payload);
    } catch {
      this.#refuse(request, 'a payload that is no length and ids');
      return;
    }
    const { length, contextIds } = query;
    const { contexts } = this.#agreement;
    const isKnown = contextIds.every((id) => contexts.some((context) => context.id === id));
    const refusal = this.#checker.checkRange(request, length);
    if (!isKnown || new Set(contextIds).size !== contextIds.length || contextIds.length === 0) {
      this.#refuse(request, 'context ids that are unknown or named twice');
    } else if (refusal) {
      this.#fail(request, refusal, 0);
    } else if (length === 0n) {
      this.#empty(request);
    } else {
      this.#blockStatus(request, length, contextIds);
    }
  }

  #blockStatus(request: Request, length: bigint, contextIds: readonly number[]): void {
    const one = (request.flags & CommandFlag.REQ_ONE) !== 0;
    const { extendedHeaders, blockSizeKnown, export: served } = this.#agreement;
    const granularity = blockSizeKnown ? served.blockSize.minimum : 1;
    const query = { offset: request.offset, length, one, extended: extendedHeaders, granularity };
    // Counted from the start: as much may come of it, though most often it is little.
    const room = contextIds.length * longestStatus(length, extendedHeaders);
    this.#bytes += room;
    const payloads: Uint8Array[] = [];
    const ask = async () => {
      for (const context of this.#agreement.contexts) {
        if (!contextIds.includes(context.id)) continue;
        this.#gone.signal.throwIfAborted();
        payloads.push(await queryStatus(this.#device, query, context, this.#gone.signal));
      }
    };
    this.#settle(
      ask,
      () => {
        this.#replies.blockStatus(request, payloads, room);
      },
      (error) => {
        this.#fail(request, error, room);
      },
    );
  }

  #fail(request: Request, error: unknown, bytes: number): void {
    if (!isNbdError(error)) {
      this.#host.log.warn(`command ${request.command} at ${request.offset} failed: ${describe(error)}`);
    }
    this.#replies.failure(request, failureOf(request, error), bytes);
  }

  #refuse(request: Request, why: string): void {
    this.#fail(request, new NbdError('EINVAL', why), 0);
  }

  /** Calls the device. What settles later is answered later, without holding up the rest. */
  #settle(
    call: () => Awaitable<void>,
    succeeded: () => void,
    failed: (error: unknown) => void,
    always?: () => void,
  ): void {
    let result: Awaitable<void>;
    try {
      result = call();
    } catch (error) {
      always?.();
      failed(error);
      return;
    }
    if (!isPromise(result)) {
      always?.();
      succeeded();
      return;
    }
    this.#calls++;
    const finish = (answer: () => void) => {
      this.#calls--;
      always?.();
      if (this.#isOver) {
        if (this.#calls === 0) this.#settled?.();
        return;
      }
      try {
        answer();
        this.#planFlush();
      } catch (error) {
        this.#host.broken(error);
      }
    };
    // Settles once, whatever a plugin takes for a promise.
    Promise.resolve(result).then(
      () => {
        finish(succeeded);
      },
      (error: unknown) => {
        finish(() => {
          failed(error);
        });
      },
    );
  }

  /** Answers that become ready in one turn leave together. */
  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#replies.flush();
    });
  }

  #left(requests: number, bytes: number): void {
    this.#requests -= requests;
    this.#bytes -= bytes;
    if (this.#isOver) return;
    if (this.#blocked) this.#host.unblocked();
    if (this.isIdle) this.#host.idle();
  }
}
