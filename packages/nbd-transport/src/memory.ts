import type { ByteSink, ByteTransport } from '@nbd/protocol';
import type { Attach } from './attach.js';

/**
 * Joins two sessions in one process: what one writes the other receives, in order, never within the call of
 * `write`. Runs anywhere, browsers included. There is no TLS.
 *
 * ```ts
 * connectInMemory((transport) => serverSession(transport), (transport) => clientSession(transport));
 * ```
 */
export function connectInMemory(attachLeft: Attach, attachRight: Attach): void {
  const left = new MemoryTransport();
  const right = new MemoryTransport();
  left.peer = right;
  right.peer = left;
  left.sink = attachLeft(left);
  right.sink = attachRight(right);
}

/** The bytes of one `write` on their way to the peer. */
interface Parcel {
  readonly chunks: readonly Uint8Array[];
  readonly released: (error?: Error) => void;
  readonly length: number;
}

class MemoryTransport implements ByteTransport {
  peer!: MemoryTransport;
  sink!: ByteSink;
  readonly #outgoing: Parcel[] = [];
  /** Place in `#outgoing[0]` of the next byte to deliver. */
  #chunk = 0;
  #at = 0;
  #queued = 0;
  #paused = false;
  #ending = false;
  #closed = false;
  #scheduled = false;

  get queuedBytes(): number {
    return this.#queued;
  }

  write(chunks: readonly Uint8Array[], released: (error?: Error) => void): void {
    if (this.#closed || this.#ending) {
      queueMicrotask(() => {
        released(new Error('the connection is closed'));
      });
      return;
    }
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    this.#outgoing.push({ chunks, released, length });
    this.#queued += length;
    this.#schedule();
  }

  resume(): void {
    this.#paused = false;
    this.peer.#schedule();
  }

  end(): void {
    this.#ending = true;
    this.#schedule();
  }

  destroy(reason?: Error): void {
    this.#close(reason);
    this.peer.#close(reason);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const { peer } = this;
    while (!this.#isStopped() && this.#outgoing.length > 0) {
      const { chunks, released, length } = this.#outgoing[0]!;
      while (this.#chunk < chunks.length) {
        if (this.#isStopped()) return;
        this.#deliverFrom(chunks[this.#chunk]!);
      }
      this.#outgoing.shift();
      this.#chunk = 0;
      this.#queued -= length;
      released();
    }
    if (!this.#closed && this.#ending && this.#outgoing.length === 0) {
      this.#close();
      peer.#close();
    }
  }

  #deliverFrom(chunk: Uint8Array): void {
    const { sink } = this.peer;
    const count = chunk.length - this.#at;
    if (count > 0) {
      const buffer = sink.nextBuffer();
      const part = chunk.subarray(this.#at, this.#at + Math.min(count, buffer.length));
      buffer.set(part);
      this.#at += part.length;
      if (!sink.received(part.length)) this.peer.#paused = true;
    }
    if (this.#at === chunk.length) {
      this.#at = 0;
      this.#chunk++;
    }
  }

  #isStopped(): boolean {
    return this.#closed || this.peer.#paused;
  }

  #close(reason?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queued = 0;
    queueMicrotask(() => {
      for (const { released } of this.#outgoing.splice(0))
        released(reason ?? new Error('the connection is closed'));
      this.sink.ended(reason);
    });
  }
}
