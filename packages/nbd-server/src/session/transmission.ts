import {
  Command,
  CommandFlag,
  decodeExtendedRequest,
  decodeRequest,
  EXTENDED_REQUEST_SIZE,
  MAX_DEVICE_SIZE,
  NbdError,
  REQUEST_SIZE,
  type ByteTransport,
  type Request,
} from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import { BufferPool } from '@nbd/transport/pool';
import type { Agreement } from './agreement.js';
import { longestStatus } from './block-status.js';
import { RequestChecker } from './check-request.js';
import { Commands } from './commands.js';
import { HardDisconnect } from './disconnect.js';
import { ABSURD_PAYLOAD, type SessionLimits } from './limits.js';
import type { ReceiveWindow } from './receive-window.js';
import { ReplyQueue } from './reply-queue.js';

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
  /** What the request counts for. */
  readonly bytes: number;
  readonly buffer: Uint8Array;
  readonly length: number;
  received: number;
}

/** Bytes that the pool of one connection keeps. */
const POOLED = 8 << 20;

/**
 * Bytes of payload under way, and calls of the device, beyond which further requests wait: the kernel takes no more than
 * that anyway, and buffers that are used again soon are still in the processor's cache. (Dense read by nbdcopy, which
 * has 64 MiB under way: 2.0 s of processor time and 68 MiB of memory; without this limit 3.6 s and 195 MiB.)
 */
const ENOUGH_BYTES = 512 << 10;
const ENOUGH_CALLS = 16;

/** The server's side of the transmission phase. Protocol document, "Transmission". */
export class Transmission {
  readonly #host: TransmissionHost;
  readonly #agreement: Agreement;
  readonly #checker: RequestChecker;
  readonly #replies: ReplyQueue;
  readonly #pool = new BufferPool({ maxIdle: POOLED });
  readonly #commands: Commands;
  readonly #headerSize: number;
  /** Bytes of payload: more is refused, or ends the connection. */
  readonly #maximum: bigint;
  readonly #absurd: bigint;
  /** Requests, and bytes of their payload, that are taken up and whose replies have not left. */
  #requests = 0;
  #bytes = 0;
  #incoming: Incoming | undefined;
  /** Bytes of a refused payload still to come. */
  #skip = 0;
  #blocked = false;
  #disconnecting = false;
  #isOver = false;

  constructor(host: TransmissionHost, agreement: Agreement) {
    this.#host = host;
    this.#agreement = agreement;
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
    this.#commands = new Commands({
      agreement,
      checker: this.#checker,
      replies: this.#replies,
      pool: this.#pool,
      log: host.log,
      broken: (error) => {
        host.broken(error);
      },
    });
  }

  /** Nothing is under way: no call of the device and, while there is a client, no reply to it. */
  get isIdle(): boolean {
    return this.#commands.underWay === 0 && (this.#isOver || this.#requests === 0);
  }

  /** The client sent DISC: it wants nothing more. */
  get isDisconnecting(): boolean {
    return this.#disconnecting;
  }

  /** A DISC has come, or requests wait that one may follow. */
  get mayHaveToFinish(): boolean {
    return this.#blocked || (this.#disconnecting && !this.isIdle);
  }

  /**
   * The connection is over. What came before a DISC is carried out all the same; other calls may stop.
   * @returns a promise that settles when the device has nothing to do any more
   */
  end(): Promise<void> {
    this.#isOver = true;
    if (!this.#disconnecting) this.abandon();
    return this.#commands.end();
  }

  /** The device is about to be closed: calls that did not settle in time are to make no other. */
  abandon(): void {
    this.#commands.abandon();
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
      const bytes = this.#bytesOf(request);
      if (!this.#hasRoom(bytes)) {
        this.#blocked = true;
        break;
      }
      window.start += this.#headerSize;
      this.#take(request, bytes);
    }
    this.#replies.flush();
    if (this.#disconnecting) {
      // Nothing follows a DISC. It goes on to receive, to see the client leave.
      window.start = window.end;
      if (this.isIdle) this.#host.idle();
    }
    return !this.#blocked;
  }

  #hasRoom(bytes: number): boolean {
    const { limits } = this.#host;
    if (this.#requests === 0) return true;
    if (this.#requests >= limits.requests) return false;
    if (this.#bytes + bytes > limits.bytes) return false;
    if (this.#bytes + bytes <= ENOUGH_BYTES) return true;
    return this.#replies.unsent < ENOUGH_BYTES && this.#commands.underWay < ENOUGH_CALLS;
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

  #take(request: Request, bytes: number): void {
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
      this.#commands.fail(request, refusal, 0);
      return;
    }
    this.#bytes += bytes;
    if (payload === 0) this.#commands.perform(request, bytes);
    else this.#incoming = { request, bytes, buffer: this.#pool.take(payload), length: payload, received: 0 };
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
    this.#incoming = undefined;
    this.#commands.performWith(incoming.request, incoming.buffer, incoming.length, incoming.bytes);
    return true;
  }

  /** Bytes that follow the request. Protocol document, "Request message". */
  #payloadLength({ command, flags, length }: Request): number {
    if (this.#agreement.extendedHeaders) {
      // A WRITE has its payload in any case: qemu, up to version 10 at least, does not set the flag that it MUST set.
      if ((flags & CommandFlag.PAYLOAD_LEN) === 0 && command !== Command.WRITE) return 0;
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

  #left(requests: number, bytes: number): void {
    this.#requests -= requests;
    this.#bytes -= bytes;
    if (this.#isOver) return;
    if (this.#blocked) this.#host.unblocked();
    if (this.isIdle) this.#host.idle();
  }
}
