import {
  CLIENT_FLAGS_SIZE,
  ClientFlag,
  decodeClientFlags,
  decodeOptionHeader,
  encodeGreeting,
  encodeMessage,
  encodeOptionReply,
  HandshakeFlag,
  Option,
  OPTION_HEADER_SIZE,
  OptionReply,
  type OptionHeader,
  type TlsIdentity,
} from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import type { Agreement } from './agreement.js';
import { HardDisconnect } from './disconnect.js';
import type { Exports } from './exports.js';
import { ABSURD_OPTION, type SessionLimits } from './limits.js';
import { asRefusal, OptionRefusal } from './option-refusal.js';
import { Options } from './options.js';
import { describe } from './printable.js';
import type { ReceiveWindow } from './receive-window.js';
import type { ServedExport } from './served-export.js';

/** `off`: STARTTLS is refused. `on`: the client may ask for it. `require`: nothing else works before it. */
export type TlsMode = 'off' | 'on' | 'require';

/** Parts of the protocol that can be left out, to see how clients do without. */
export interface LesserServer {
  /** ANDed with the handshake flags. */
  readonly handshakeMask?: number;
  readonly noStructuredReplies?: boolean;
  readonly noMetaContexts?: boolean;
  readonly noExtendedHeaders?: boolean;
}

/** What the handshake needs of its session. */
export interface HandshakeHost {
  readonly exports: Exports;
  readonly limits: SessionLimits;
  readonly tls: TlsMode;
  readonly lesser: LesserServer;
  readonly log: Log;
  readonly peer: string | undefined;
  /** The server is ending. */
  readonly shuttingDown: boolean;
  send(bytes: Uint8Array): void;
  /** Settles when no more than `most` bytes of what was sent have not left; undefined if that is so already. */
  drained(most?: number): Promise<void> | undefined;
  /** Closes an export that was opened and is not served, and does not throw. */
  close(served: ServedExport): Promise<void>;
  /** Present where the transport can do TLS. */
  readonly upgradeTls?: () => Promise<TlsIdentity>;
  /** Ends the connection once everything sent has left. */
  end(): void;
  begin(agreement: Agreement): void;
}

/**
 * The server's side of the handshake: greeting, client flags, and options one after the other. What they do is in
 * `options.ts`. Protocol document, "Newstyle negotiation", "Fixed newstyle negotiation".
 */
export class Handshake {
  readonly #host: HandshakeHost;
  readonly #handshakeFlags: number;
  #options: Options | undefined;
  #count = 0;
  /** Bytes of data still to come of an option that is too long. */
  #skip = 0;

  constructor(host: HandshakeHost) {
    this.#host = host;
    const mask = host.lesser.handshakeMask ?? 0xffff;
    this.#handshakeFlags = (HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES) & mask;
    host.send(encodeGreeting({ style: 'newstyle', flags: this.#handshakeFlags }));
  }

  /**
   * Consumes what is there, up to an option whose answer takes longer, or is not taken by the client.
   * @returns a promise that the answer is made and taken: nothing is to be consumed until it settles
   * @throws if the client broke a rule that leaves nothing to say to it
   */
  consume(window: ReceiveWindow): Promise<void> | undefined {
    if (!this.#options) {
      if (window.length < CLIENT_FLAGS_SIZE) return undefined;
      this.#options = this.#takeClientFlags(decodeClientFlags(window.take(CLIENT_FLAGS_SIZE)));
    }
    while (!this.#options.isOver && this.#skipped(window) && window.length >= OPTION_HEADER_SIZE) {
      const header = decodeOptionHeader(window.bytes, window.start);
      const isLong = header.length > this.#host.limits.optionLength;
      window.wanted = OPTION_HEADER_SIZE + (isLong ? 0 : header.length);
      if (window.length < window.wanted) break;
      window.wanted = 0;
      window.start += OPTION_HEADER_SIZE;
      let answer: Promise<void> | undefined;
      if (isLong) this.#refuseLong(header);
      // A copy: the window moves on while the answer is made.
      else answer = this.#answer(this.#options, header.option, window.take(header.length).slice(), window);
      const taken = answer ? answer.then(() => this.#host.drained()) : this.#host.drained();
      if (taken) return taken;
    }
    return undefined;
  }

  /** Lets go of what was opened, where the connection ends before its transmission phase. */
  async close(): Promise<void> {
    await this.#options?.close();
  }

  #takeClientFlags(flags: number): Options {
    // "The server MUST drop the TCP connection if the client sets an unknown flag, or a flag that does not match
    // something advertised by the server."
    if ((flags & ~this.#handshakeFlags) !== 0) {
      throw new HardDisconnect(
        `client flags 0x${flags.toString(16)}, offered 0x${this.#handshakeFlags.toString(16)}`,
      );
    }
    return new Options(this.#host, {
      isFixed: (flags & ClientFlag.FIXED_NEWSTYLE) !== 0,
      noZeroes: (flags & ClientFlag.NO_ZEROES) !== 0,
    });
  }

  /** Passes over the data of an option that was too long. */
  #skipped(window: ReceiveWindow): boolean {
    const count = Math.min(this.#skip, window.length);
    window.start += count;
    this.#skip -= count;
    return this.#skip === 0;
  }

  #refuseLong({ option, length }: OptionHeader): void {
    const most = this.#host.limits.optionLength;
    if (option === Option.EXPORT_NAME || length > Math.max(ABSURD_OPTION, most)) {
      throw new HardDisconnect(`option ${option} with ${length} bytes of data`);
    }
    this.#countOption();
    this.#skip = length;
    this.#refuse(
      option,
      new OptionRefusal(OptionReply.ERR_TOO_BIG, `${most} bytes of data are the most here`),
    );
  }

  #countOption(): void {
    const { options } = this.#host.limits;
    if (++this.#count > options) throw new HardDisconnect(`more than ${options} options in one handshake`);
  }

  #answer(
    options: Options,
    option: number,
    data: Uint8Array,
    window: ReceiveWindow,
  ): Promise<void> | undefined {
    this.#countOption();
    const failed = (error: unknown) => {
      this.#failed(option, error);
    };
    try {
      return options.answer(option, data, window.length > 0)?.catch(failed);
    } catch (error) {
      failed(error);
      return undefined;
    }
  }

  #failed(option: number, error: unknown): void {
    if (error instanceof HardDisconnect) throw error;
    const refusal = asRefusal(error);
    if (!refusal) this.#host.log.warn(`option ${nameOf(option)} failed: ${describe(error)}`);
    // "If the server is unwilling to allow the export, it MUST terminate the session": there is no error reply.
    if (option === Option.EXPORT_NAME) throw new HardDisconnect(`EXPORT_NAME: ${describe(error)}`);
    this.#refuse(
      option,
      refusal ?? new OptionRefusal(OptionReply.ERR_UNKNOWN, 'the server could not do that'),
    );
  }

  #refuse(option: number, { type, message }: OptionRefusal): void {
    this.#host.send(encodeOptionReply(option, type, encodeMessage(message)));
  }
}

const NAMES = new Map<number, string>(Object.entries(Option).map(([name, value]) => [value, name]));

function nameOf(option: number): string {
  return NAMES.get(option) ?? String(option);
}
