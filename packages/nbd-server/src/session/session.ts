import type { ByteSink, ByteTransport } from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import type { Agreement } from './agreement.js';
import { describe } from './disconnect.js';
import type { Exports } from './exports.js';
import { Handshake, type HandshakeHost, type LesserServer, type TlsMode } from './handshake.js';
import { DEFAULT_LIMITS, type SessionLimits } from './limits.js';
import { ReceiveWindow } from './receive-window.js';
import { Transmission, type TransmissionHost } from './transmission.js';

export interface SessionOptions {
  readonly exports: Exports;
  readonly limits?: Partial<SessionLimits>;
  /** `off` unless told otherwise; the others need a transport with `upgradeTls`. */
  readonly tls?: TlsMode;
  readonly lesser?: LesserServer;
  readonly log?: Log;
  /** Where the client is, for the plugin and the log. */
  readonly peer?: string;
  /** Called once, when the connection is over and the device is closed. */
  readonly closed?: () => void;
}

/** Milliseconds that a client gets to be told, in the handshake, that the server ends. */
const HANDSHAKE_GRACE = 1000;

const SILENT: Log = { warn: () => undefined, info: () => undefined, debug: () => undefined };

/**
 * The server's side of one connection, from the greeting to the end. It needs nothing but a transport, so it runs
 * in a browser as well.
 *
 * ```ts
 * joinWebSocket(socket, (transport) => new ServerSession(transport, { exports: new Exports(pluginOf(device)) }));
 * ```
 */
export class ServerSession implements ByteSink {
  readonly #transport: ByteTransport;
  readonly #options: SessionOptions;
  readonly #limits: SessionLimits;
  readonly #log: Log;
  readonly #window = new ReceiveWindow();
  readonly #handshake: Handshake;
  #transmission: Transmission | undefined;
  #agreement: Agreement | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The buffer that the transport has is a payload's own, not the window's. It may get that long before its bytes. */
  #lentPayload = false;
  /** Receiving stopped: the transport waits for `resume`. */
  #stopped = false;
  /** An option's answer is being made. */
  #answering = false;
  #shuttingDown = false;
  #flushing = false;
  #ending = false;
  #ended = false;
  #isClosed = false;

  constructor(transport: ByteTransport, options: SessionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#log = options.log ?? SILENT;
    this.#startTimer(this.#limits.handshakeTime, () => {
      this.#hangUp(new Error('the handshake took too long'));
    });
    this.#handshake = new Handshake(this.#handshakeHost());
  }

  nextBuffer(): Uint8Array {
    const payload = this.#transmission?.payloadRoom();
    this.#lentPayload = payload !== undefined;
    return payload ?? this.#window.room();
  }

  received(count: number): boolean {
    if (this.#ending || this.#ended) return false;
    if (this.#lentPayload) this.#transmission!.payloadReceived(count);
    else this.#window.end += count;
    this.#stopped = !this.#consume();
    return !this.#stopped;
  }

  ended(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error) this.#log.debug(`connection lost: ${describe(error)}`);
    clearTimeout(this.#timer);
    this.#transport.destroy();
    this.#transmission?.end();
    if (this.#transmission?.isIdle !== false) {
      void this.#close();
      return;
    }
    // A plugin that never answers has its device closed all the same.
    this.#startTimer(this.#limits.graceTime, () => {
      this.#log.warn('requests of a client that is gone did not finish');
      void this.#close();
    });
  }

  /** Ends the connection: requests under way finish, later ones are refused, the device is flushed. */
  shutdown(): void {
    if (this.#shuttingDown || this.#ended) return;
    this.#shuttingDown = true;
    const { graceTime } = this.#limits;
    this.#startTimer(this.#transmission ? graceTime : Math.min(graceTime, HANDSHAKE_GRACE), () => {
      this.#hangUp(new Error('the server ended before the client did'));
    });
    if (this.#transmission?.isIdle) this.#becameIdle();
  }

  /** @returns false if receiving has to wait */
  #consume(): boolean {
    if (this.#answering) return false;
    try {
      if (this.#transmission) return this.#consumeRequests(this.#transmission);
      const answer = this.#handshake.consume(this.#window);
      if (!answer) return !this.#ending;
      this.#answering = true;
      answer.then(
        () => {
          this.#answering = false;
          this.#goOn();
        },
        (error: unknown) => {
          this.#answering = false;
          this.#hangUp(error);
        },
      );
      return false;
    } catch (error) {
      this.#hangUp(error);
      return false;
    }
  }

  #consumeRequests(transmission: Transmission): boolean {
    if (!this.#shuttingDown) clearTimeout(this.#timer);
    const hasRoom = transmission.consume(this.#window);
    if (transmission.isIdle) this.#becameIdle();
    return hasRoom && !transmission.isDisconnecting;
  }

  /** Consumes what waited, and receives again. */
  #goOn(): void {
    if (this.#ended || this.#ending || !this.#consume() || !this.#stopped) return;
    this.#stopped = false;
    this.#transport.resume();
  }

  #begin(agreement: Agreement): void {
    clearTimeout(this.#timer);
    this.#agreement = agreement;
    const { name, device } = agreement.export;
    this.#log.debug(`export "${name}" of ${device.size} bytes, flags 0x${agreement.flags.toString(16)}`);
    this.#transmission = new Transmission(this.#transmissionHost(), agreement);
  }

  /** Nothing is under way in the transmission phase. */
  #becameIdle(): void {
    if (this.#ended) void this.#close();
    else if (this.#transmission!.isDisconnecting) this.#end();
    else if (this.#shuttingDown) void this.#flushAndEnd();
    else
      this.#startTimer(this.#limits.idleTime, () => {
        this.#log.debug('disconnected: idle for too long');
        this.#end();
      });
  }

  async #flushAndEnd(): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    const { device, readOnly } = this.#agreement!.export;
    try {
      if (!readOnly) await device.flush?.();
    } catch (error) {
      this.#log.warn(`the last flush failed: ${describe(error)}`);
    }
    this.#end();
  }

  /** Ends the connection once all that was sent has left, or the client takes too long to take it. */
  #end(): void {
    if (this.#ending || this.#ended) return;
    this.#ending = true;
    this.#transport.end();
    this.#startTimer(this.#limits.graceTime, () => {
      this.#transport.destroy();
    });
  }

  #hangUp(reason: unknown): void {
    this.#log.debug(`disconnected: ${describe(reason)}`);
    this.#ending = true;
    this.#transport.destroy();
  }

  async #close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    try {
      await this.#handshake.close();
      await this.#agreement?.export.close();
    } catch (error) {
      this.#log.warn(`the device did not close well: ${describe(error)}`);
    }
    this.#options.closed?.();
  }

  /** One timer serves all: each phase has its own limit. */
  #startTimer(milliseconds: number, expired: () => void): void {
    clearTimeout(this.#timer);
    if (milliseconds > 0) this.#timer = setTimeout(expired, milliseconds);
  }

  #handshakeHost(): HandshakeHost {
    const { exports, tls = 'off', lesser = {}, peer } = this.#options;
    const transport = this.#transport;
    const isShuttingDown = () => this.#shuttingDown;
    return {
      exports,
      limits: this.#limits,
      tls,
      lesser,
      log: this.#log,
      peer,
      get shuttingDown() {
        return isShuttingDown();
      },
      send: (bytes) => {
        transport.write([bytes], () => undefined);
      },
      ...(transport.upgradeTls && { upgradeTls: () => transport.upgradeTls!() }),
      end: () => {
        this.#end();
      },
      begin: (agreement) => {
        this.#begin(agreement);
      },
    };
  }

  #transmissionHost(): TransmissionHost {
    const isShuttingDown = () => this.#shuttingDown;
    return {
      transport: this.#transport,
      limits: this.#limits,
      log: this.#log,
      get shuttingDown() {
        return isShuttingDown();
      },
      idle: () => {
        this.#becameIdle();
      },
      unblocked: () => {
        this.#goOn();
      },
    };
  }
}
