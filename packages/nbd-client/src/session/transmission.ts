import {
  Command,
  CommandFlag,
  encodeBlockStatusPayload,
  encodeExtendedRequest,
  encodeRequest,
  EXTENDED_REQUEST_SIZE,
  isNbdError,
  NbdError,
  REQUEST_SIZE,
  type ByteSink,
  type ByteTransport,
} from '@nbd/protocol';
import { connectionError, lostError } from './call-errors.js';
import type { Call } from './call.js';
import { broken } from './dialogue.js';
import type { Inlet } from './inlet.js';
import { ReplyReader, type Asker } from './replies.js';
import type { Terms } from './terms.js';

/** Told of what happens to the connection as a whole. */
export interface TransmissionEvents {
  /** The connection is lost; its calls are told afterwards, one by one. */
  lost(error: NbdError): void;
  /** The server is going to shut down: no new call may be made. */
  shuttingDown(): void;
}

/**
 * The transmission phase of one connection. Calls are sent as they come, any number may be under way, and each is told
 * once what has become of it.
 */
export class Transmission implements ByteSink, Asker {
  /** Settles when the connection has ended, however it ended. */
  readonly closed: Promise<void>;
  #resolveClosed!: () => void;
  readonly #transport: ByteTransport;
  readonly #terms: Terms;
  readonly #events: TransmissionEvents;
  readonly #replies: ReplyReader;
  /** What waits for a reply, by cookie. */
  readonly #calls = new Map<number, Call>();
  #lastCookie = 0;
  /** Calls of this turn, which are sent together at its end. */
  #outbox: Call[] = [];
  #error: NbdError | undefined;
  #leaving = false;
  /** Bytes of data under way, in either direction. */
  weight = 0;

  constructor(transport: ByteTransport, inlet: Inlet, terms: Terms, events: TransmissionEvents) {
    this.#transport = transport;
    this.#terms = terms;
    this.#events = events;
    this.#replies = new ReplyReader(inlet, terms, this);
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  /** Why the connection was lost, once it is. */
  get error(): NbdError | undefined {
    return this.#error;
  }

  /** The caller keeps to the terms: bounds, block sizes, commands and flags that the server has. */
  submit(call: Call): void {
    call.transmission = this;
    if (this.#error) {
      call.error = this.#error;
      call.owner.gone(call);
      this.#settle(call);
      return;
    }
    this.weight += call.weight;
    if (this.#outbox.push(call) === 1) {
      queueMicrotask(() => {
        this.#send();
      });
    }
  }

  /**
   * The owner has lost interest in a call. It is told so with this error: at once, or as soon as the transport gives
   * back the buffer of the call, if it has it at this moment. What is sent can't be recalled.
   */
  abandon(call: Call, error: Error): void {
    if (call.settled || call.abandoned) return;
    call.abandoned = true;
    call.error = error;
    call.holes = undefined;
    call.extents = undefined;
    if (call.state === 'unsent') {
      this.#outbox = this.#outbox.filter((other) => other !== call);
      this.weight -= call.weight;
      call.owner.gone(call);
    } else if (call.into) call.lent = !this.#replies.release(call);
    this.#settle(call);
    this.#leaveIfIdle();
  }

  /** Says goodbye once no call is under way, and closes the connection. No call may be submitted any more. */
  leave(): void {
    this.#leaving = true;
    this.#leaveIfIdle();
  }

  /** Closes the connection now; all calls end with this error. */
  destroy(reason: NbdError): void {
    this.#transport.destroy(reason);
    this.#lose(reason);
  }

  nextBuffer(): Uint8Array {
    return this.#replies.nextBuffer();
  }

  received(count: number): boolean {
    if (!this.#error) this.#read(count);
    return !this.#error;
  }

  ended(error?: Error): void {
    this.#lose(connectionError(error));
    this.#transport.destroy();
    this.#resolveClosed();
  }

  find(cookie: bigint): Call {
    const call = this.#calls.get(Number(cookie));
    if (call === undefined) throw broken(`replies to cookie ${cookie}, of which no request is under way`);
    return call;
  }

  answered(call: Call): void {
    this.#calls.delete(Number(call.cookie));
    call.state = 'answered';
    if (!call.abandoned && isNbdError(call.error) && call.error.code === 'ESHUTDOWN') {
      this.#events.shuttingDown();
    }
    this.weight -= call.weight;
    call.owner.gone(call);
    this.#settle(call);
    this.#leaveIfIdle();
  }

  returned(call: Call): void {
    call.lent = false;
    this.#settle(call);
  }

  #read(count: number): void {
    try {
      this.#replies.received(count);
    } catch (error) {
      this.destroy(isNbdError(error) ? error : new NbdError('EIO', String(error), { cause: error }));
    }
  }

  #send(): void {
    const calls = this.#outbox;
    if (calls.length === 0) return;
    this.#outbox = [];
    const size = this.#terms.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE;
    const headers = new Uint8Array(size * calls.length);
    const chunks: Uint8Array[] = [];
    const writes: Call[] = [];
    let from = 0;
    let at = 0;
    for (const call of calls) {
      const cookie = ++this.#lastCookie;
      call.cookie = BigInt(cookie);
      call.state = 'sent';
      if (call.extents) call.contextId = this.#terms.contexts.get(call.context)!;
      this.#calls.set(cookie, call);
      const payload = this.#encode(headers, at, call);
      at += size;
      if (payload === undefined) continue;
      chunks.push(headers.subarray(from, at), payload);
      from = at;
      if (call.from === undefined) continue;
      call.sending = true;
      writes.push(call);
    }
    if (from < at) chunks.push(headers.subarray(from));
    this.#transport.write(chunks, (error) => {
      if (error) this.#lose(connectionError(error));
      for (const call of writes) {
        call.sending = false;
        this.#settle(call);
      }
    });
  }

  /** @returns the payload, if there is one. */
  #encode(into: Uint8Array, at: number, call: Call): Uint8Array | undefined {
    if (!this.#terms.extendedHeaders) {
      encodeRequest(into, at, call);
      return call.from;
    }
    const payload = call.oneContext
      ? encodeBlockStatusPayload({ length: call.length, contextIds: [call.contextId] })
      : call.from;
    if (payload === undefined) encodeExtendedRequest(into, at, call);
    else {
      const { command, cookie, offset } = call;
      const flags = call.flags | CommandFlag.PAYLOAD_LEN;
      encodeExtendedRequest(into, at, { command, cookie, offset, flags, length: BigInt(payload.length) });
    }
    return payload;
  }

  #settle(call: Call): void {
    const isOver = call.abandoned || call.state !== 'sent';
    if (!isOver || call.settled || call.sending || call.lent) return;
    call.settled = true;
    const fate = call.state === 'sent' || call.state === 'lost' ? 'unknown' : call.state;
    call.owner.done(call, call.error, fate);
  }

  #lose(error: NbdError): void {
    if (this.#error) return;
    this.#error = error;
    const unsent = this.#outbox;
    const sent = [...this.#calls.values()];
    this.#outbox = [];
    this.#calls.clear();
    this.#replies.ended();
    this.#events.lost(error);
    for (const call of unsent) {
      call.error = error;
      call.owner.gone(call);
      this.#settle(call);
    }
    for (const call of sent) {
      call.state = 'lost';
      call.lent = false;
      call.error ??= lostError(call, error);
      call.owner.gone(call);
      this.#settle(call);
    }
  }

  #leaveIfIdle(): void {
    if (!this.#leaving || this.#error || this.#calls.size > 0 || this.#outbox.length > 0) return;
    const request = { command: Command.DISC, flags: 0, cookie: 0n, offset: 0n, length: 0n };
    const bytes = new Uint8Array(this.#terms.extendedHeaders ? EXTENDED_REQUEST_SIZE : REQUEST_SIZE);
    (this.#terms.extendedHeaders ? encodeExtendedRequest : encodeRequest)(bytes, 0, request);
    this.#transport.write([bytes], () => undefined);
    this.#transport.end();
  }
}
