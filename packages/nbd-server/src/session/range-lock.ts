import { isPromise, type Awaitable } from '@nbd/protocol';

interface Holder {
  readonly start: bigint;
  readonly end: bigint;
  /** Settles when the range is free again. */
  readonly released: Promise<unknown>;
}

/**
 * Keeps apart what touches the same bytes: operations on overlapping ranges run one after the other, in the order
 * in which they came; others at once.
 */
export class RangeLock {
  readonly #holders = new Set<Holder>();

  /**
   * Runs `operation` when no earlier one holds or waits for a byte of `start` to `end - 1`, unless `signal` has been
   * aborted by then.
   */
  hold<T>(
    start: bigint,
    end: bigint,
    signal: AbortSignal | undefined,
    operation: () => Awaitable<T>,
  ): Awaitable<T> {
    const before = [...this.#holders].filter((other) => other.start < end && start < other.end);
    if (before.length === 0) {
      const result = operation();
      if (!isPromise(result)) return result;
      return this.#keep(start, end, result);
    }
    const turn = Promise.allSettled(before.map(({ released }) => released)).then(() => {
      signal?.throwIfAborted();
      return operation();
    });
    return this.#keep(start, end, turn);
  }

  #keep<T>(start: bigint, end: bigint, result: Promise<T>): Promise<T> {
    const holder: Holder = { start, end, released: result };
    this.#holders.add(holder);
    const release = () => {
      this.#holders.delete(holder);
    };
    result.then(release, release);
    return result;
  }
}
