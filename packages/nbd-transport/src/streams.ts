import type { Readable, Writable } from 'node:stream';
import type { ByteSink, ByteTransport } from '@nbd/protocol';
import type { Attach } from './attach.js';
import { ChunkReceiver } from './receive.js';

/**
 * Joins a session to a pair of Node streams, such as standard input and output or the pipes of a child process. One
 * duplex stream may be given twice.
 */
export function joinStreams(readable: Readable, writable: Writable, attach: Attach): void {
  new StreamTransport(readable, writable, attach);
}

class StreamTransport implements ByteTransport {
  readonly #readable: Readable;
  readonly #writable: Writable;
  readonly #sink: ByteSink;
  readonly #receiver: ChunkReceiver;
  #queued = 0;
  /** Callbacks of writes under way: a stream that is destroyed in the middle of one may never call its own. */
  readonly #unreleased = new Set<(error?: Error) => void>();
  #ended = false;

  constructor(readable: Readable, writable: Writable, attach: Attach) {
    this.#readable = readable;
    this.#writable = writable;
    this.#sink = attach(this);
    this.#receiver = new ChunkReceiver(this.#sink);
    const finish = () => {
      this.#receiver.end(() => {
        this.#end();
      });
    };
    for (const stream of new Set([readable, writable])) {
      stream.on('error', (error) => {
        this.#end(error);
      });
      stream.on('close', finish);
    }
    writable.on('close', () => {
      for (const done of this.#unreleased) done(new Error('the stream is closed'));
    });
    readable.on('end', finish);
    readable.on('data', (chunk: Uint8Array) => {
      if (!this.#receiver.push(chunk)) readable.pause();
    });
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  write(chunks: readonly Uint8Array[], released: (error?: Error) => void): void {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    this.#queued += length;
    const done = (error?: Error | null) => {
      if (!this.#unreleased.delete(done)) return;
      this.#queued -= length;
      released(error ?? undefined);
    };
    this.#unreleased.add(done);
    const last = chunks.length - 1;
    this.#writable.cork();
    chunks.forEach((chunk, i) => {
      if (i < last) this.#writable.write(chunk);
      else this.#writable.write(chunk, done);
    });
    this.#writable.uncork();
  }

  resume(): void {
    if (this.#receiver.resume()) this.#readable.resume();
  }

  end(): void {
    this.#writable.end(() => {
      this.destroy();
    });
  }

  destroy(reason?: Error): void {
    this.#readable.destroy();
    this.#writable.destroy();
    this.#end(reason);
  }

  #end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#receiver.stop();
    this.#sink.ended(error);
  }
}
