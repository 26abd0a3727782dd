import { isNbdError, NbdError, type ByteSink, type ByteTransport, type TlsIdentity } from '@nbd/protocol';
import { connectionError } from './call-errors.js';
import { broken, type Demand, type Dialogue, type Voice } from './dialogue.js';
import { Inlet } from './inlet.js';
import type { Terms } from './terms.js';
import { Transmission, type TransmissionEvents } from './transmission.js';

/** More than this unasked for, and the server is talking to itself. */
const MAX_UNASKED = 32 << 10;

/** A client's side of one connection: first the handshake, then the transmission. */
export class ClientSession implements ByteSink, Voice {
  readonly #transport: ByteTransport;
  readonly #inlet = new Inlet();
  #conversation: Conversation | undefined;
  #transmission: Transmission | undefined;
  #error: NbdError | undefined;
  tls: TlsIdentity | undefined;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  get tlsPossible(): boolean {
    return this.#transport.upgradeTls !== undefined;
  }

  /** Holds a dialogue of the handshake; one at a time. If it fails the connection is closed. */
  converse<T>(dialogue: (voice: Voice) => Dialogue<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#error) {
        reject(this.#error);
        return;
      }
      this.#conversation = {
        turns: dialogue(this),
        demand: 0,
        resolve: resolve as (result: unknown) => void,
        reject,
      };
      this.#advance(NOTHING);
    });
  }

  /** Goes on to the transmission that a dialogue has agreed on. */
  transmit(terms: Terms, events: TransmissionEvents): Transmission {
    const transmission = new Transmission(this.#transport, this.#inlet, terms, events);
    this.#transmission = transmission;
    if (this.#error) transmission.ended(this.#error);
    // What came after the last word of the handshake replies to nothing.
    else if (this.#inlet.length > 0) transmission.received(0);
    return transmission;
  }

  /** Closes the connection once all is said. */
  end(): void {
    this.#transport.end();
  }

  destroy(reason: NbdError): void {
    this.#transport.destroy(reason);
    this.#fail(reason);
  }

  say(message: Uint8Array): void {
    this.#transport.write([message], () => undefined);
  }

  nextBuffer(): Uint8Array {
    return this.#transmission ? this.#transmission.nextBuffer() : this.#inlet.room();
  }

  received(count: number): boolean {
    if (this.#transmission) return this.#transmission.received(count);
    if (this.#error) return false;
    this.#inlet.end += count;
    const demand = this.#conversation?.demand;
    if (typeof demand === 'number' && this.#inlet.length >= demand) this.#advance(this.#inlet.take(demand));
    // The dialogue may have come to its end with that, or have failed.
    if (this.#inlet.length > MAX_UNASKED) this.destroy(broken('says more than it was asked for'));
    return true;
  }

  ended(error?: Error): void {
    if (this.#transmission) {
      this.#transmission.ended(error);
      return;
    }
    this.#fail(this.#conversation?.demand === 'tls' ? tlsError(error) : connectionError(error));
    this.#transport.destroy();
  }

  #advance(heard: Uint8Array): void {
    const conversation = this.#conversation!;
    const { turns } = conversation;
    try {
      let turn = turns.next(heard);
      while (!turn.done && typeof turn.value === 'number' && this.#inlet.length >= turn.value) {
        turn = turns.next(this.#inlet.take(turn.value));
      }
      if (turn.done) {
        this.#conversation = undefined;
        conversation.resolve(turn.value);
        return;
      }
      conversation.demand = turn.value;
    } catch (error) {
      this.#conversation = undefined;
      conversation.reject(error as Error);
      // A client that does not like an answer says goodbye, which it has done; a broken protocol has no goodbye.
      if (isNbdError(error) && error.code !== 'EPROTO') this.#transport.end();
      else this.#transport.destroy();
      return;
    }
    if (conversation.demand === 'tls') void this.#startTls(conversation);
  }

  async #startTls(conversation: Conversation): Promise<void> {
    // Whoever sits in between could have put it there, to be taken for a word of the encrypted conversation.
    if (this.#inlet.length > 0) {
      this.destroy(broken('goes on in the clear after it has agreed to TLS'));
      return;
    }
    try {
      this.tls = await this.#transport.upgradeTls!();
    } catch (error) {
      this.destroy(tlsError(error as Error));
      return;
    }
    if (this.#conversation === conversation) this.#advance(NOTHING);
  }

  #fail(error: NbdError): void {
    this.#error ??= error;
    const conversation = this.#conversation;
    if (!conversation) return;
    this.#conversation = undefined;
    try {
      // The dialogue may know better what it means.
      conversation.turns.throw(error);
      conversation.reject(error);
    } catch (explained) {
      conversation.reject(explained as Error);
    }
  }
}

/** A dialogue that is being held. */
interface Conversation {
  readonly turns: Dialogue<unknown>;
  demand: Demand;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

const NOTHING = new Uint8Array(0);

function tlsError(cause: Error | undefined): NbdError {
  if (isNbdError(cause)) return cause;
  return new NbdError(
    'EACCES',
    `TLS with the server failed: ${cause?.message ?? 'it closed the connection'}`,
    {
      cause,
    },
  );
}
