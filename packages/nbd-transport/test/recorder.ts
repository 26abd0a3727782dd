import type { ByteSink, ByteTransport } from '@nbd/protocol';

export interface RecorderOptions {
  /** Sizes of the buffers that it lends, one after the other and again from the start. */
  readonly buffers?: readonly number[];
  /** It stops at every so many calls of `received`, and resumes in a later turn. */
  readonly pauseEvery?: number;
  /** Sees each piece in its place; false stops it until the test itself calls `resume`. */
  readonly watch?: (piece: Uint8Array) => boolean;
}

/** A session that keeps what it receives and notes where its transport breaks the contract. */
export class Recorder implements ByteSink {
  readonly transport: ByteTransport;
  /** Broken rules: empty in a test that passes. */
  readonly violations: string[] = [];
  /** Settles at the end of the connection, with its error. */
  readonly end: Promise<Error | undefined>;
  #resolveEnd!: (error: Error | undefined) => void;
  readonly #buffers: readonly number[];
  readonly #pauseEvery: number;
  readonly #watch: ((piece: Uint8Array) => boolean) | undefined;
  readonly #chunks: Uint8Array[] = [];
  readonly #waiting: { count: number; resolve: () => void }[] = [];
  #lent: Uint8Array | undefined;
  #lendings = 0;
  #calls = 0;
  #length = 0;
  #ended = false;
  #paused = false;

  constructor(transport: ByteTransport, options: RecorderOptions = {}) {
    this.transport = transport;
    this.#buffers = options.buffers ?? [64 << 10];
    this.#pauseEvery = options.pauseEvery ?? 0;
    this.#watch = options.watch;
    this.end = new Promise((resolve) => (this.#resolveEnd = resolve));
  }

  /** All that was received. */
  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves once `count` bytes have been received. */
  async has(count: number): Promise<void> {
    if (this.#length >= count) return;
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
  }

  /** Writes the chunks, and settles once they are released. */
  send(...chunks: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      let released = false;
      this.transport.write(chunks, (error) => {
        if (released) this.violations.push('released twice');
        released = true;
        if (error) reject(error);
        else resolve();
      });
    });
  }

  nextBuffer(): Uint8Array {
    if (this.#ended) this.violations.push('asked for a buffer after the end');
    this.#lent = new Uint8Array(this.#buffers[this.#lendings++ % this.#buffers.length]!);
    return this.#lent;
  }

  received(count: number): boolean {
    if (this.#ended) this.violations.push('received after the end');
    if (this.#paused) this.violations.push('received while paused');
    const piece = this.#lent?.subarray(0, count);
    this.#lent = undefined;
    if (piece === undefined) this.violations.push('received without a buffer');
    else if (count < 1 || count !== piece.length) this.violations.push(`received ${count} bytes`);
    else this.#chunks.push(piece);
    this.#length += count;
    for (const waiter of this.#waiting) if (this.#length >= waiter.count) waiter.resolve();
    if (piece !== undefined && this.#watch?.(piece) === false) return false;
    this.#paused = this.#pauseEvery > 0 && ++this.#calls % this.#pauseEvery === 0;
    if (this.#paused) setImmediate(this.#resume);
    return !this.#paused;
  }

  ended(error?: Error): void {
    if (this.#ended) this.violations.push('ended twice');
    this.#ended = true;
    this.#resolveEnd(error);
  }

  readonly #resume = (): void => {
    if (this.#ended) return;
    this.#paused = false;
    this.transport.resume();
  };
}
