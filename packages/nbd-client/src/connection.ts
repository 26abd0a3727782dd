import { NbdError } from '@nbd/protocol';
import { dialAndConverse, type Dial, type DialOptions } from './dial.js';
import type { Call } from './session/call.js';
import { open, type Wishes } from './session/handshake.js';
import type { Terms } from './session/terms.js';
import type { Transmission } from './session/transmission.js';

/** One of the connections of a client. It can be lost, and opened again. */
export class Connection {
  readonly #dial: Dial;
  readonly #wishes: Wishes;
  readonly #options: DialOptions;
  readonly #onLost: (connection: Connection, error: NbdError) => void;
  #transmission: Transmission | undefined;
  #terms: Terms | undefined;
  #isLeaving = false;

  constructor(
    dial: Dial,
    wishes: Wishes,
    options: DialOptions,
    onLost: (connection: Connection, error: NbdError) => void,
  ) {
    this.#dial = dial;
    this.#wishes = wishes;
    this.#options = options;
    this.#onLost = onLost;
  }

  /** What was agreed on when it was first opened. */
  get terms(): Terms {
    return this.#terms!;
  }

  get isUsable(): boolean {
    return this.#transmission !== undefined && !this.#isLeaving;
  }

  /** Bytes of data under way. */
  get weight(): number {
    return this.#transmission?.weight ?? 0;
  }

  /**
   * Connects. The disk must be the one that `expected` was agreed for.
   * @throws NbdError if it can't be reached; ENODEV if it is another disk.
   */
  async open(expected: Terms | undefined = this.#terms, signal?: AbortSignal): Promise<void> {
    const { session, result: terms } = await dialAndConverse(
      this.#dial,
      (voice) => open(voice, this.#wishes),
      signal === undefined ? this.#options : { ...this.#options, signal },
    );
    const difference = expected && differenceBetween(expected, terms);
    if (difference !== undefined) {
      const error = new NbdError('ENODEV', `the server now has another disk: ${difference}`);
      session.destroy(error);
      throw error;
    }
    let isOpen = false;
    const transmission = session.transmit(terms, {
      lost: (error) => {
        if (!isOpen) return;
        this.#transmission = undefined;
        this.#onLost(this, error);
      },
      // "If the client receives an NBD_ESHUTDOWN error it MUST initiate a soft disconnect."
      shuttingDown: () => {
        this.#isLeaving = true;
        this.#transmission?.leave();
      },
    });
    if (transmission.error) throw transmission.error;
    isOpen = true;
    this.#terms ??= terms;
    this.#isLeaving = false;
    this.#transmission = transmission;
  }

  /** The connection must be usable. */
  carry(call: Call): void {
    this.#transmission!.submit(call);
  }

  /** Says goodbye once nothing is under way; settles when the connection has ended. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    this.#transmission?.leave();
    await this.#transmission?.closed;
  }

  destroy(reason: NbdError): void {
    this.#transmission?.destroy(reason);
  }
}

/** @returns what is different, if it is another disk. */
function differenceBetween(before: Terms, now: Terms): string | undefined {
  if (now.size !== before.size) return `it has ${now.size} bytes and had ${before.size}`;
  if (now.flags !== before.flags) {
    return `its flags are 0x${now.flags.toString(16)} and were 0x${before.flags.toString(16)}`;
  }
  for (const limit of ['minimum', 'maximum'] as const) {
    if (now.blockSize[limit] === before.blockSize[limit]) continue;
    return `its ${limit} block size is ${now.blockSize[limit]} and was ${before.blockSize[limit]}`;
  }
  for (const name of before.contexts.keys()) {
    if (!now.contexts.has(name)) return `it does not have the meta context ${name} any more`;
  }
  if (now.extendedHeaders !== before.extendedHeaders || now.structuredReplies !== before.structuredReplies) {
    return 'it is served with another form of replies';
  }
  return undefined;
}
