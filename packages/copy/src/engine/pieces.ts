import { setMaxListeners } from 'node:events';
import { isPromise, NbdError, type Awaitable } from '@nbd/protocol';
import type { Progress, StreamOptions } from './options.js';

/** Pieces of a copy, begun in order, of which many are under way at once. */
export class Pieces {
  readonly progress: { -readonly [K in keyof Progress]: Progress[K] };
  readonly #most: number;
  readonly #report: ((progress: Progress) => void) | undefined;
  readonly #outside: AbortSignal | undefined;
  readonly #stop = new AbortController();
  /** By where they begin. */
  readonly #underWay = new Set<{ readonly start: bigint }>();
  /** All before it is at least under way. */
  #begun: bigint;
  #failure: { readonly error: unknown; readonly done: bigint } | undefined;
  #settled: (() => void) | undefined;

  /**
   * @param start where the copy begins, in bytes
   * @param most pieces under way at once
   * @throws NbdError ECANCELED if the signal is aborted already
   */
  constructor(start: bigint, size: bigint | undefined, most: number, options: StreamOptions) {
    this.#begun = start;
    this.#most = most;
    this.progress = { size, done: start, read: 0n, written: 0n };
    // One for each request under way: no leak.
    setMaxListeners(0, this.#stop.signal);
    this.#report = options.progress;
    this.#outside = options.signal;
    if (this.#outside?.aborted === true) this.#cancel();
    this.#outside?.addEventListener('abort', this.#cancel);
  }

  /** Aborts at the first failure: what is under way may stop. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether the next piece has to wait for {@link room}. */
  get isFull(): boolean {
    return this.#underWay.size >= this.#most;
  }

  /** Settles when one of those under way has. */
  async room(): Promise<void> {
    await new Promise<void>((resolve) => (this.#settled = resolve));
    this.#settled = undefined;
  }

  /** Begins the next piece, which ends at `end`, by calling `work`, which may reject but does not throw. */
  begin(end: bigint, work: () => Awaitable<void>): void {
    const result = work();
    if (!isPromise(result)) {
      this.pass(end);
      return;
    }
    const piece = { start: this.#begun };
    this.#underWay.add(piece);
    this.#begun = end;
    const settled = () => {
      this.#underWay.delete(piece);
      this.#tell();
      this.#settled?.();
    };
    result.then(settled, (error: unknown) => {
      this.fail(error);
      settled();
    });
  }

  /** What ends at `end` is done, or need not be. */
  pass(end: bigint): void {
    this.#begun = end;
    this.#tell();
  }

  /** The first failure is the one to tell; what is under way is asked to stop. */
  fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error, done: this.#done() };
    this.#stop.abort(error);
  }

  /**
   * Waits for what is under way: nobody's buffers are in use any more then, whatever the outcome.
   * @throws the first failure
   */
  async finish(): Promise<void> {
    while (this.#underWay.size > 0) await this.room();
    this.#outside?.removeEventListener('abort', this.#cancel);
    if (this.#failure) throw this.#failure.error;
  }

  readonly #cancel = (): void => {
    this.fail(new NbdError('ECANCELED', 'the copy was cancelled', { cause: this.#outside?.reason }));
  };

  #tell(): void {
    this.progress.done = this.#failure?.done ?? this.#done();
    this.#report?.(this.progress);
  }

  #done(): bigint {
    // A set keeps its order: the first is the earliest.
    const [earliest] = this.#underWay;
    return earliest?.start ?? this.#begun;
  }
}
