import type { ByteSink, ByteTransport } from '@nbd/protocol';
import type { Attach } from '@nbd/transport';

/**
 * Joins two sessions in memory as unkindly as a transport may: the stream is cut into pieces of `cut()` bytes, and,
 * as Node's sockets do, each side is asked for its next buffer right after it has received, also when it wants no more
 * for now.
 * @param cut the length of the next piece, at least 1
 */
export function connectChoppily(cut: () => number): (attachLeft: Attach, attachRight: Attach) => void {
  return (attachLeft, attachRight) => {
    const left = new ChoppyTransport(cut);
    const right = new ChoppyTransport(cut);
    left.join(right, attachRight(right));
    right.join(left, attachLeft(left));
  };
}

class ChoppyTransport implements ByteTransport {
  readonly #cut: () => number;
  #peer!: ChoppyTransport;
  /** Who receives what is written here. */
  #sink!: ByteSink;
  #lent!: Uint8Array;
  #outgoing: { bytes: Uint8Array; released: ((error?: Error) => void) | undefined }[] = [];
  #queued = 0;
  #paused = false;
  #ending = false;
  #closed = false;
  #scheduled = false;

  constructor(cut: () => number) {
    this.#cut = cut;
  }

  join(peer: ChoppyTransport, sink: ByteSink): void {
    this.#peer = peer;
    this.#sink = sink;
    this.#lent = sink.nextBuffer();
    this.#schedule();
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  write(chunks: readonly Uint8Array[], released: (error?: Error) => void): void {
    if (this.#closed) {
      queueMicrotask(() => {
        released(new Error('the connection is closed'));
      });
      return;
    }
    chunks.forEach((bytes, i) => {
      this.#outgoing.push({ bytes, released: i === chunks.length - 1 ? released : undefined });
      this.#queued += bytes.length;
    });
    this.#schedule();
  }

  resume(): void {
    this.#peer.#paused = false;
    this.#peer.#schedule();
  }

  end(): void {
    this.#ending = true;
    this.#schedule();
  }

  destroy(reason?: Error): void {
    this.#close(reason);
    this.#peer.#close(reason);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    while (!this.#isClosed() && !this.#paused && this.#outgoing.length > 0) {
      const first = this.#outgoing[0]!;
      const piece = first.bytes.subarray(0, Math.min(this.#cut(), this.#lent.length));
      this.#lent.set(piece);
      first.bytes = first.bytes.subarray(piece.length);
      this.#queued -= piece.length;
      if (piece.length > 0) {
        this.#paused = !this.#sink.received(piece.length);
        if (this.#isClosed()) break;
        this.#lent = this.#sink.nextBuffer();
      }
      if (first.bytes.length > 0) continue;
      this.#outgoing.shift();
      first.released?.();
    }
    if (!this.#isClosed() && this.#ending && this.#outgoing.length === 0) this.#peer.destroy();
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  /** `ended` is that of the side that receives here. */
  #close(reason?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    queueMicrotask(() => {
      this.#release(reason ?? new Error('the connection is closed'));
      this.#sink.ended(reason);
    });
  }

  #release(error: Error): void {
    this.#queued = 0;
    for (const { released } of this.#outgoing.splice(0)) released?.(error);
  }
}
