import type { ByteSink } from '@nbd/protocol';

/** A session that is stuck has to learn at last that its peer has gone. */
const TIME_TO_TAKE_MS = 10_000;

/**
 * Copies chunks that arrive in buffers of their own, as from `'data'` events and WebSocket messages, to where a
 * sink wants them, and keeps what the sink does not take yet.
 */
export class ChunkReceiver {
  readonly #sink: ByteSink;
  #lent: Uint8Array | undefined;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #paused = false;
  #stopped = false;
  #atEnd: (() => void) | undefined;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Bytes that were pushed and that the sink has not taken. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** @returns false when the sink wants no more until {@link resume} */
  push(chunk: Uint8Array): boolean {
    if (this.#stopped) return true;
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    return this.#paused ? false : this.#drain();
  }

  /** @returns false when the sink stopped again before it had everything */
  resume(): boolean {
    this.#paused = false;
    return this.#drain();
  }

  /**
   * Nothing more will be pushed. `done` is called once the sink has taken what waits, or when it has had time enough for
   * that; perhaps more than once, and not after `stop`.
   */
  end(done: () => void): void {
    if (this.#waiting.length === 0) {
      done();
      return;
    }
    this.#atEnd = done;
    setTimeout(() => this.#atEnd?.(), TIME_TO_TAKE_MS);
  }

  /** The connection has ended: the sink gets nothing more, and what waits is forgotten. */
  stop(): void {
    this.#stopped = true;
    this.#atEnd = undefined;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #drain(): boolean {
    while (this.#waiting.length > 0) {
      const chunk = this.#waiting[0]!;
      this.#lent ??= this.#sink.nextBuffer();
      const count = Math.min(chunk.length, this.#lent.length);
      this.#lent.set(count === chunk.length ? chunk : chunk.subarray(0, count));
      this.#lent = undefined;
      this.#waitingBytes -= count;
      if (count === chunk.length) this.#waiting.shift();
      else this.#waiting[0] = chunk.subarray(count);
      if (count === 0 || this.#sink.received(count) || this.#stopped) continue;
      this.#paused = true;
      return false;
    }
    this.#atEnd?.();
    return true;
  }
}
