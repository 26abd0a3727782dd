import type { ByteSink, ByteTransport } from '@nbd/protocol';
import type { Random } from './random.js';

interface Write {
  readonly chunks: readonly Uint8Array[];
  /** The bytes as they were when they were written: they must still be so when they leave. */
  readonly copies: readonly Uint8Array[];
  readonly released: (error?: Error) => void;
  readonly length: number;
}

/** A session's end of a connection whose other end says what it is given, in any pieces, and reads when it likes. */
export class FuzzTransport implements ByteTransport {
  readonly #random: Random;
  /** The next buffer is asked for as early as Node's sockets do, or when there are bytes for it. */
  readonly #isEager: boolean;
  /** Faults of the session. */
  readonly faults: string[] = [];
  /** What the peer has read. */
  readonly output: Uint8Array[] = [];
  #sink!: ByteSink;
  #lent: Uint8Array | undefined;
  #writes: Write[] = [];
  #queued = 0;
  #paused = false;
  #ending = false;
  #isClosed = false;

  constructor(random: Random) {
    this.#random = random;
    this.#isEager = random.oneIn(2);
  }

  attach(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#isEager) this.#lent = sink.nextBuffer();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  /** Says the first of `bytes`. @returns how many the session took */
  say(bytes: Uint8Array): number {
    const lent = this.#lent ?? this.#sink.nextBuffer();
    if (lent.length === 0) this.faults.push('an empty buffer was lent');
    const count = Math.min(bytes.length, lent.length, this.#random.upTo(bytes.length));
    lent.set(bytes.subarray(0, count));
    this.#lent = undefined;
    const goesOn = this.#sink.received(count);
    this.#paused = !goesOn;
    if (this.#isEager && !this.#isClosed) this.#lent = this.#sink.nextBuffer();
    return count;
  }

  /** The peer reads some of what there is to read. */
  read(): void {
    for (const { chunks, copies, released, length } of this.#writes.splice(0, this.#random.upTo(8))) {
      chunks.forEach((chunk, i) => {
        if (Buffer.compare(chunk, copies[i]!) !== 0) this.faults.push('bytes changed before they had left');
      });
      this.output.push(...copies);
      this.#queued -= length;
      released();
    }
    if (this.#ending && this.#writes.length === 0) this.close();
  }

  /** The connection ends, from the peer's side or the network's. */
  close(error?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { released, length } of this.#writes.splice(0)) {
      this.#queued -= length;
      released(new Error('the connection is closed'));
    }
    this.#sink.ended(error);
  }

  write(chunks: readonly Uint8Array[], released: (error?: Error) => void): void {
    if (this.#isClosed) {
      queueMicrotask(() => {
        released(new Error('the connection is closed'));
      });
      return;
    }
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (length === 0) this.faults.push('nothing was written');
    this.#writes.push({ chunks, copies: chunks.map((chunk) => chunk.slice()), released, length });
    this.#queued += length;
  }

  resume(): void {
    if (!this.#paused && !this.#isClosed) this.faults.push('resumed what was not stopped');
    this.#paused = false;
  }

  end(): void {
    this.#ending = true;
  }

  destroy(reason?: Error): void {
    queueMicrotask(() => {
      this.close(reason);
    });
  }
}
