import { MAX_DEVICE_SIZE, NbdError, type BlockDevice, type CallOptions } from '@nbd/protocol';

/** Where bytes go one after the other. */
export interface ByteDestination {
  /** Takes all of `bytes`. One call at a time. */
  write(bytes: Uint8Array): Promise<void>;
  flush?(): Promise<void>;
}

const ZEROES = new Uint8Array(256 << 10);

/**
 * A disk that is written once, from its start to its end: each write waits until all before it is written. So it fits a
 * copy, which begins its pieces in order and leaves nothing out.
 */
export class InOrder implements BlockDevice {
  readonly size = MAX_DEVICE_SIZE;
  readonly #to: ByteDestination;
  #position = 0n;
  readonly #waiting = new Map<bigint, { go: () => void; fail: (error: Error) => void }>();
  #failure: Error | undefined;
  #signal: AbortSignal | undefined;

  constructor(to: ByteDestination) {
    this.#to = to;
  }

  read(): never {
    throw new NbdError('ENOTSUP', 'a stream that is written can not be read');
  }

  async write(offset: bigint, from: Uint8Array, options: CallOptions = {}): Promise<void> {
    await this.#turn(offset, options.signal);
    await this.#to.write(from);
    this.#passOn(BigInt(from.length));
  }

  async zero(offset: bigint, length: bigint, options: CallOptions = {}): Promise<void> {
    await this.#turn(offset, options.signal);
    for (let rest = length; rest > 0n && !this.#failure; rest -= BigInt(ZEROES.length)) {
      await this.#to.write(rest < ZEROES.length ? ZEROES.subarray(0, Number(rest)) : ZEROES);
    }
    if (this.#failure) throw this.#failure;
    this.#passOn(length);
  }

  async flush(): Promise<void> {
    await this.#to.flush?.();
  }

  async #turn(offset: bigint, signal: AbortSignal | undefined): Promise<void> {
    this.#heed(signal);
    if (this.#failure) throw this.#failure;
    if (offset === this.#position) return;
    await new Promise<void>((go, fail) => this.#waiting.set(offset, { go, fail }));
  }

  #passOn(length: bigint): void {
    this.#position += length;
    const next = this.#waiting.get(this.#position);
    this.#waiting.delete(this.#position);
    next?.go();
  }

  /** What would come before may never come: all that wait give up. */
  #heed(signal: AbortSignal | undefined): void {
    if (signal === undefined || signal === this.#signal) return;
    this.#signal = signal;
    const abort = () => {
      this.#failure = new NbdError('ECANCELED', 'the stream was given up', { cause: signal.reason });
      for (const { fail } of this.#waiting.values()) fail(this.#failure);
      this.#waiting.clear();
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  }
}
