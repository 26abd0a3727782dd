import type { ByteSink, ByteTransport } from '@nbd/protocol';
import type { Attach } from './attach.js';
import { ChunkReceiver } from './receive.js';

/** The part of a WebSocket that is used here: a browser's has it, and so has the one of `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close' | 'error', listener: () => void): void;
  /** Stop and go on receiving, where there is such a thing (`ws`): browsers can't. */
  pause?(): void;
  resume?(): void;
  /** Close at once, where there is such a thing (`ws`): `close` waits for the peer to agree. */
  terminate?(): void;
}

/** How often a browser is asked whether it has sent more: it has no event for that. */
const POLL_MS = 5;

/** Bytes that may wait in the WebSocket before a write counts as not yet sent. */
const SENT_ENOUGH = 1 << 20;

/** Bytes that may wait where receiving can't be stopped. More than a polite peer has on its way without an answer. */
const MOST_UNTAKEN = 256 << 20;

/**
 * Joins a session to a WebSocket that is open. Messages are cut as it happens: NBD is a stream of bytes.
 *
 * ```ts
 * joinWebSocket(new WebSocket('wss://bmc/vm/0/0'), (transport) => new ServerSession(transport, options));
 * ```
 */
export function joinWebSocket(socket: WebSocketLike, attach: Attach): void {
  new WebSocketTransport(socket, attach);
}

class WebSocketTransport implements ByteTransport {
  readonly #socket: WebSocketLike;
  readonly #sink: ByteSink;
  readonly #receiver: ChunkReceiver;
  #unsent: { length: number; released: (error?: Error) => void }[] = [];
  #queued = 0;
  #ended = false;
  /** Nothing can be sent any more. */
  #closed = false;
  #ending = false;
  #polling = false;

  constructor(socket: WebSocketLike, attach: Attach) {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    this.#sink = attach(this);
    this.#receiver = new ChunkReceiver(this.#sink);
    socket.addEventListener('message', ({ data }) => {
      if (this.#ended) return;
      if (!(data instanceof ArrayBuffer))
        this.destroy(new Error('a WebSocket message that is text: NBD is binary'));
      else if (data.byteLength > 0 && !this.#receiver.push(new Uint8Array(data))) this.#hold();
    });
    socket.addEventListener('close', () => {
      this.#closed = true;
      this.#poll();
      this.#receiver.end(() => {
        this.#end();
      });
    });
    socket.addEventListener('error', () => {
      this.#end(new Error('the WebSocket failed'));
    });
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  write(chunks: readonly Uint8Array[], released: (error?: Error) => void): void {
    // One message for all, and a copy that stays as it is whether the WebSocket makes one or not.
    const message = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      message.set(chunk, at);
      at += chunk.length;
    }
    this.#unsent.push({ length: at, released });
    this.#queued += at;
    if (!this.#closed) this.#socket.send(message);
    this.#poll();
  }

  resume(): void {
    if (this.#receiver.resume()) this.#socket.resume?.();
  }

  end(): void {
    this.#ending = true;
    this.#poll();
  }

  destroy(reason?: Error): void {
    this.#end(reason);
    if (this.#socket.terminate) this.#socket.terminate();
    else this.#socket.close();
  }

  #hold(): void {
    if (this.#socket.pause) this.#socket.pause();
    else if (this.#receiver.waitingBytes > MOST_UNTAKEN)
      this.destroy(new Error(`the peer sends faster than is taken: ${MOST_UNTAKEN} bytes wait`));
  }

  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    queueMicrotask(() => {
      this.#release();
    });
  }

  #release(): void {
    this.#polling = false;
    if (this.#closed || this.#socket.bufferedAmount <= SENT_ENOUGH) {
      for (const { length, released } of this.#unsent.splice(0)) {
        this.#queued -= length;
        released(this.#closed ? new Error('the WebSocket is closed') : undefined);
      }
      if (this.#ending && !this.#closed) this.#close();
      return;
    }
    this.#polling = true;
    setTimeout(() => {
      this.#release();
    }, POLL_MS);
  }

  /** Closing is a handshake: what was sent before still arrives, and the peer's answer has to be received. */
  #close(): void {
    this.#receiver.stop();
    this.#socket.resume?.();
    this.#socket.close();
  }

  #end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closed = true;
    this.#receiver.stop();
    this.#sink.ended(error);
    this.#poll();
  }
}
