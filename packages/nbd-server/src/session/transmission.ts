import {
  Command,
  CommandFlag,
  decodeBlockStatusPayload,
  decodeExtendedRequest,
  decodeRequest,
  EXTENDED_REQUEST_SIZE,
  isNbdError,
  isPromise,
  NbdError,
  REQUEST_SIZE,
  type Awaitable,
  type BlockDevice,
  type ByteTransport,
  type Request,
} from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import { BufferPool } from '@nbd/transport/pool';
import { queryStatus } from './block-status.js';
import { RequestChecker } from './check-request.js';
import { describe, HardDisconnect } from './disconnect.js';
import type { Agreement } from './agreement.js';
import { ABSURD_PAYLOAD, type SessionLimits } from './limits.js';
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
  /** Replies have left and nothing is under way. */
  idle(): void;
  /** There is room for requests again, after `consume` returned false. */
  unblocked(): void;
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
  #flushPlanned = false;
  /** Whether the last small read was answered at once: then the next one is likely to be. */
  #readsAtOnce = false;

  constructor(host: TransmissionHost, agreement: Agreement) {
    this.#host = host;
    this.#agreement = agreement;
    this.#device = agreement.export.device;
    this.#checker = new RequestChecker(agreement);
    this.#headerSize = agreement.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
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

  /** The connection is over. What came before a DISC is carried out all the same; other calls may stop. */
  end(): void {
    this.#isOver = true;
    if (!this.#disconnecting) this.#gone.abort(new NbdError('ECONNRESET', 'the client is gone'));
  }

  get isReceivingPayload(): boolean {
    return this.#incoming !== undefined;
  }

  /** Where the next bytes belong, while a payload is coming in. */
  payloadRoom(): Uint8Array | undefined {
    const incoming = this.#incoming;
    return incoming?.buffer.subarray(incoming.received, incoming.length);
  }

  /** `count` bytes were put into `payloadRoom`. */
  payloadReceived(count: number): void {
    const incoming = this.#incoming!;
    incoming.received += count;
    if (incoming.received === incoming.length) this.#payloadComplete(incoming);
    this.#replies.flush();
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
    return !this.#blocked;
  }

  #hasRoom({ command, length }: Request): boolean {
    const { limits } = this.#host;
    if (this.#requests === 0) return true;
    if (this.#requests >= limits.requests) return false;
    const bytes = command === Command.READ || command === Command.WRITE ? Number(length) : 0;
    // What is longer than any payload is refused, and needs no room.
    return bytes > limits.payload || this.#bytes + bytes <= limits.bytes;
  }

  #take(request: Request): void {
    if (request.command === Command.DISC) {
      this.#disconnecting = true;
      return;
    }
    const payload = this.#payloadLength(request);
    this.#requests++;
    const refusal = this.#host.shuttingDown
      ? new NbdError('ESHUTDOWN', 'the server is ending')
      : this.#checker.check(request);
    if (refusal) {
      this.#skip = payload;
      this.#replies.failure(request, refusal, 0);
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
    const count = Math.min(incoming.length - incoming.received, window.length);
    incoming.buffer.set(window.take(count), incoming.received);
    incoming.received += count;
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
      const maximum = this.#agreement.export.blockSize.maximum;
      if (length > BigInt(maximum))
        throw new HardDisconnect(`a payload of ${length} bytes: ${maximum} are the most`);
      return Number(length);
    }
    if (command !== Command.WRITE) return 0;
    if (length > BigInt(ABSURD_PAYLOAD)) throw new HardDisconnect(`a write of ${length} bytes`);
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
        this.#replies.failure(request, new NbdError('EINVAL', 'a write without its payload'), 0);
    }
  }

  /** "The client SHOULD NOT request a length of 0; the behavior is unspecified although the server SHOULD NOT disconnect." */
  #empty(request: Request): void {
    if (request.command !== Command.BLOCK_STATUS) this.#replies.success(request, 0);
    else this.#replies.failure(request, new NbdError('EINVAL', 'a block status of 0 bytes'), 0);
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
    let query;
    try {
      query = decodeBlockStatusPayload(payload);
    } catch {
      this.#bytes -= payload.length;
      this.#replies.failure(request, new NbdError('EINVAL', 'a payload that is no length and ids'), 0);
      return;
    }
    this.#bytes -= payload.length;
    const { offset } = request;
    const { length, contextIds } = query;
    const { contexts } = this.#agreement;
    const isKnown = contextIds.every((id) => contexts.some((context) => context.id === id));
    if (!isKnown || new Set(contextIds).size !== contextIds.length || contextIds.length === 0) {
      this.#replies.failure(
        request,
        new NbdError('EINVAL', 'context ids that are unknown or named twice'),
        0,
      );
    } else if (length === 0n || offset + length > this.#device.size) {
      this.#replies.failure(
        request,
        new NbdError('EINVAL', `a block status of ${length} bytes at ${offset}`),
        0,
      );
    } else {
      this.#blockStatus(request, length, contextIds);
    }
  }

  #blockStatus(request: Request, length: bigint, contextIds: readonly number[]): void {
    const one = (request.flags & CommandFlag.REQ_ONE) !== 0;
    const { extendedHeaders, blockSizeKnown, export: served } = this.#agreement;
    const granularity = blockSizeKnown ? served.blockSize.minimum : 1;
    const query = { offset: request.offset, length, one, extended: extendedHeaders, granularity };
    const payloads: Uint8Array[] = [];
    const ask = async () => {
      for (const context of this.#agreement.contexts) {
        if (!contextIds.includes(context.id)) continue;
        payloads.push(await queryStatus(this.#device, query, context, this.#gone.signal));
      }
    };
    this.#settle(
      ask,
      () => {
        const bytes = payloads.reduce((sum, payload) => sum + payload.length, 0);
        this.#bytes += bytes;
        this.#replies.blockStatus(request, payloads, bytes);
      },
      (error) => {
        this.#fail(request, error, 0);
      },
    );
  }

  #fail(request: Request, error: unknown, bytes: number): void {
    if (!isNbdError(error)) {
      this.#host.log.warn(`command ${request.command} at ${request.offset} failed: ${describe(error)}`);
    }
    this.#replies.failure(request, error, bytes);
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
        if (this.isIdle) this.#host.idle();
        return;
      }
      answer();
      this.#planFlush();
    };
    result.then(
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
