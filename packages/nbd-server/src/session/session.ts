import { isNbdError, type ByteSink, type ByteTransport } from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import type { Agreement } from './agreement.js';
import { closeExport } from './close-export.js';
import { Deadline } from './deadline.js';
import { HardDisconnect } from './disconnect.js';
import type { Exports } from './exports.js';
import { Handshake, type HandshakeHost, type LesserServer, type TlsMode } from './handshake.js';
import { DEFAULT_LIMITS, type SessionLimits } from './limits.js';
import { describe, printable } from './printable.js';
import { ReceiveWindow } from './receive-window.js';
import type { ServedExport } from './served-export.js';
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

/** Replies that a client in its handshake has not taken yet, in bytes, from which on its next options wait. */
const UNSENT_REPLIES = 64 << 10;

/** What a timer can hold: it takes more for 1 millisecond. */
const LONGEST_TIME = 0x7fff_ffff;

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
  /** An option's answer that is being made. */
  #answer: Promise<void> | undefined;
  /** The handshake waits until no more than `most` bytes of its replies are unsent. */
  #draining: { readonly most: number; readonly resolve: () => void } | undefined;
  #lastFlush: Promise<void> | undefined;
  #shuttingDown = false;
  /** Nothing more comes. What came before a DISC is carried out and answered, if the client still listens. */
  #isInputOver = false;
  #ending = false;
  #ended = false;

  constructor(transport: ByteTransport, options: SessionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#log = options.log ?? SILENT;
    if (this.#limits.handshakeTime > 0) {
      this.#startTimer(this.#limits.handshakeTime, () => {
        this.#hangUp(new HardDisconnect('the handshake took too long'));
      });
    }
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
    this.#stopped = !this.#consume() && !this.#mayReceiveAhead();
    return !this.#stopped;
  }

  ended(error?: Error): void {
    this.#isInputOver = true;
    const isUnfinished = this.#transmission?.mayHaveToFinish ?? this.#answer !== undefined;
    if (this.#isOver() || !isUnfinished) {
      this.#over(error);
    } else {
      this.#startTimer(this.#limits.graceTime, () => {
        this.#over();
      });
    }
  }

  /** Ends the connection: requests under way finish, later ones are refused, the device is flushed. */
  shutdown(): void {
    if (this.#shuttingDown || this.#ended) return;
    this.#shuttingDown = true;
    this.#limitShutdown();
    if (this.#transmission?.isIdle) this.#becameIdle();
  }

  /** @returns false if receiving has to wait */
  #consume(): boolean {
    if (this.#answer) return false;
    try {
      if (this.#transmission) return this.#transmission.consume(this.#window);
      const answer = this.#handshake.consume(this.#window);
      if (!answer) return !this.#ending;
      this.#answer = answer.then(
        () => {
          this.#answer = undefined;
          this.#goOn();
        },
        (error: unknown) => {
          this.#hangUp(error);
        },
      );
      return false;
    } catch (error) {
      this.#hangUp(error);
      return false;
    }
  }

  /** While requests wait, it goes on to receive as far as there is room: it would not see the client leave otherwise. */
  #mayReceiveAhead(): boolean {
    return this.#transmission !== undefined && this.#window.isRoomy && !this.#isOver();
  }

  /** Consumes what waited, and receives again. */
  #goOn(): void {
    if (this.#isOver()) return;
    const isFree = this.#consume();
    if (this.#isInputOver) {
      if (isFree && !this.#transmission?.isDisconnecting) this.#over();
    } else if (this.#stopped && (isFree || this.#mayReceiveAhead())) {
      this.#stopped = false;
      this.#transport.resume();
    }
  }

  #isOver(): boolean {
    return this.#ending || this.#ended;
  }

  #begin(agreement: Agreement): void {
    this.#agreement = agreement;
    const { name, device } = agreement.export;
    this.#log.debug(
      `export "${printable(name)}" of ${device.size} bytes, flags 0x${agreement.flags.toString(16)}`,
    );
    this.#transmission = new Transmission(this.#transmissionHost(), agreement);
    clearTimeout(this.#timer);
    if (this.#shuttingDown) this.#limitShutdown();
    this.#becameIdle();
  }

  /** Nothing is under way in the transmission phase. */
  #becameIdle(): void {
    const { idleTime } = this.#limits;
    if (this.#isOver()) return;
    if (this.#transmission!.isDisconnecting) {
      this.#end();
    } else if (this.#shuttingDown) {
      void this.#flushAndEnd();
    } else if (idleTime > 0) {
      this.#startTimer(idleTime, () => {
        this.#log.debug('disconnected: idle for too long');
        this.#end();
      });
    }
  }

  async #flushAndEnd(): Promise<void> {
    // What goes wrong is logged when the session finishes.
    await this.#flush().catch(() => undefined);
    this.#end();
  }

  #flush(): Promise<void> {
    const { device, readOnly } = this.#agreement!.export;
    this.#lastFlush ??= (async () => {
      if (!readOnly) await device.flush?.();
    })();
    return this.#lastFlush;
  }

  /** Ends the connection once all that was sent has left, or the client takes too long to take it. */
  #end(): void {
    if (this.#isOver()) return;
    this.#ending = true;
    this.#transport.end();
    this.#startTimer(this.#limits.graceTime, () => {
      this.#transport.destroy();
    });
    if (!this.#isInputOver) return;
    // The transport does not say when all has left. In Node, replies that wait keep the process: the timer need not.
    (this.#timer as { unref?: () => void }).unref?.();
    this.#finish();
  }

  #hangUp(reason: unknown): void {
    if (reason instanceof HardDisconnect || isNbdError(reason)) {
      this.#log.debug(`disconnected: ${describe(reason)}`);
    } else {
      this.#log.warn(`disconnected, for a fault of the server: ${describe(reason)}`);
    }
    this.#ending = true;
    if (this.#isInputOver) this.#over();
    else this.#transport.destroy();
  }

  #over(error?: Error): void {
    if (error) this.#log.debug(`connection lost: ${describe(error)}`);
    clearTimeout(this.#timer);
    this.#transport.destroy();
    this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    void this.#letGo();
  }

  /** The connection is over: lets go of the device, once its calls have settled or the plugin takes too long. */
  async #letGo(): Promise<void> {
    const deadline = new Deadline(this.#limits.graceTime);
    const wait = async (what: string, work: Promise<unknown> | undefined) => {
      try {
        if (work && !(await deadline.wait(work))) this.#log.warn(`${what} did not finish in time`);
      } catch (error) {
        this.#log.warn(`${what} failed: ${describe(error)}`);
      }
    };
    const unused = this.#handshake.close();
    await wait('requests of a client that is gone', this.#transmission?.end());
    if (this.#shuttingDown && this.#agreement) await wait('the last flush', this.#flush());
    this.#transmission?.abandon();
    await wait('the handshake of a client that is gone', this.#answer);
    deadline.clear();
    await unused;
    if (this.#agreement) await this.#close(this.#agreement.export);
    this.#options.closed?.();
  }

  #close(served: ServedExport): Promise<void> {
    return closeExport(served, this.#log, this.#limits.graceTime);
  }

  #limitShutdown(): void {
    const { graceTime } = this.#limits;
    this.#startTimer(this.#transmission ? graceTime : Math.min(graceTime, HANDSHAKE_GRACE), () => {
      this.#hangUp(new HardDisconnect('the server ended before the client did'));
    });
  }

  /** One timer serves all: each phase has its own limit. */
  #startTimer(milliseconds: number, expired: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(expired, Math.min(milliseconds, LONGEST_TIME));
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
        transport.write([bytes], () => {
          if (this.#draining && transport.queuedBytes <= this.#draining.most) this.#draining.resolve();
        });
      },
      drained: (most = UNSENT_REPLIES) => {
        if (transport.queuedBytes <= most) return undefined;
        return new Promise((resolve) => (this.#draining = { most, resolve }));
      },
      ...(transport.upgradeTls && { upgradeTls: () => transport.upgradeTls!() }),
      close: (served) => this.#close(served),
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
      busy: () => {
        if (!this.#shuttingDown && !this.#isInputOver) clearTimeout(this.#timer);
      },
      idle: () => {
        this.#becameIdle();
      },
      unblocked: () => {
        this.#goOn();
      },
      broken: (error) => {
        this.#hangUp(error);
      },
    };
  }
}
