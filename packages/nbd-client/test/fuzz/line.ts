import type { ByteTransport } from '@nbd/protocol';
import { FuzzTransport } from '../../../nbd-server/test/fuzz/fuzz-transport.js';
import { concatenate, mutateBytes } from '../../../nbd-server/test/fuzz/mutate-bytes.js';
import type { Random } from '../../../nbd-server/test/fuzz/random.js';
import { ClientGone, ScriptedServer } from '../scripted-server.js';

/** How the server speaks that a line leads to. */
export interface Manners {
  /** What it says is changed here and there. */
  readonly mutates: boolean;
  /** A byte that it has no reason to say: how often it does all the same is counted. */
  readonly sentinel: number;
}

/** Joins a client's session to a scripted server, whose words come in any pieces, and some of them changed. */
export class Line {
  readonly client: FuzzTransport;
  /** How often the server has said the sentinel. */
  sentinels = 0;
  readonly #random: Random;
  readonly #manners: Manners;
  /** One of how many of its messages is changed: few, and a conversation comes far. */
  readonly #rarity: number;
  readonly #server: ScriptedServer;
  /** What the server has said and the client has not taken. */
  #words: Uint8Array = new Uint8Array(0);
  #last: Uint8Array = new Uint8Array(0);
  #hasEnded = false;
  #isOver = false;

  constructor(random: Random, manners: Manners, script: (server: ScriptedServer) => Promise<void>) {
    this.#random = random;
    this.#manners = manners;
    this.#rarity = random.pick([6, 20, 60]);
    this.client = new FuzzTransport(random);
    const transport: ByteTransport = {
      queuedBytes: 0,
      write: (chunks, released) => {
        this.#say(concatenate(chunks));
        queueMicrotask(released);
      },
      resume: () => undefined,
      end: () => (this.#hasEnded = true),
      destroy: () => (this.#hasEnded = true),
    };
    this.#server = new ScriptedServer(transport);
    script(this.#server).catch((error: unknown) => {
      // It can make no sense of what a client says that was told nonsense.
      if (!manners.mutates && !(error instanceof ClientGone)) this.client.faults.push(String(error));
      this.#hasEnded = true;
    });
  }

  /** Moves some bytes, in one direction or the other. @returns false if there are none. */
  step(): boolean {
    const { client } = this;
    if (this.#isOver) return false;
    let moved = client.queuedBytes > 0;
    client.read();
    for (const bytes of client.output.splice(0)) this.#tell(bytes);
    if (client.isClosed) {
      this.#isOver = true;
      this.#server.ended();
      return true;
    }
    if (this.#words.length > 0 && !client.isPaused) {
      this.#words = this.#words.subarray(client.say(this.#words));
      moved = true;
    } else if (this.#hasEnded && this.#words.length === 0) this.hangUp();
    return moved;
  }

  hangUp(): void {
    this.client.close(this.#random.oneIn(2) ? new Error('connection reset') : undefined);
  }

  #tell(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const buffer = this.#server.nextBuffer();
      const part = bytes.subarray(at, at + buffer.length);
      buffer.set(part);
      this.#server.received(part.length);
      at += part.length;
    }
  }

  #say(message: Uint8Array): void {
    const words =
      this.#manners.mutates && this.#random.oneIn(this.#rarity) ? this.#mutated(message) : message;
    this.#last = message;
    for (const byte of words) if (byte === this.#manners.sentinel) this.sentinels++;
    this.#words = concatenate([this.#words, words]);
  }

  #mutated(message: Uint8Array): Uint8Array {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return new Uint8Array(0);
      case 1:
        return concatenate([message, message]);
      case 2:
        return concatenate([this.#last, message]);
      case 3:
        return message.subarray(0, random.below(message.length + 1));
      case 4:
        return concatenate([message, random.bytes(random.upTo(40))]);
      default: {
        const changed = message.slice();
        // Errors lie in wait in the headers.
        const part = random.oneIn(3) ? changed : changed.subarray(0, 40);
        for (let count = random.upTo(4); count > 0; count--) mutateBytes(random, part);
        return changed;
      }
    }
  }
}
