import { isPromise, NbdError, type Awaitable } from '@nbd/protocol';

/**
 * The calls of a device that one connection has under way. Each is answered when it has settled, without holding up the
 * others, unless the connection is over by then.
 */
export class Calls {
  readonly #ready: () => void;
  readonly #broken: (error: unknown) => void;
  readonly #gone = new AbortController();
  #underWay = 0;
  #isOver = false;
  /** Tells that the last call has settled after the connection was over. */
  #settled: (() => void) | undefined;
  #isReadyPlanned = false;

  /**
   * @param host.ready told, once for each turn in which they do, that calls were answered later than they were made
   * @param host.broken told of an answer that could not be made
   */
  constructor(host: { ready: () => void; broken: (error: unknown) => void }) {
    this.#ready = host.ready;
    this.#broken = host.broken;
  }

  /** Calls that have not settled. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Aborted when the client is gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * The connection is over: what settles from now on is not answered.
   * @returns a promise that settles when no call is under way
   */
  end(): Promise<void> {
    this.#isOver = true;
    return this.#underWay === 0 ? Promise.resolve() : new Promise((resolve) => (this.#settled = resolve));
  }

  /** What is under way may stop, and is to make no other call. */
  abandon(): void {
    this.#gone.abort(new NbdError('ECONNRESET', 'the client is gone'));
  }

  /**
   * Calls the device. What returns at once is answered at once.
   * @param always called before the answer, and also where there is none
   */
  run(
    call: () => Awaitable<void>,
    succeeded: () => void,
    failed: (error: unknown) => void,
    always?: () => void,
  ): void {
    let result: Awaitable<void>;
    try {
      result = call();
    } catch (error) {
      always?.();
      failed(error);
      return;
    }
    if (!isPromise(result)) {
      always?.();
      succeeded();
      return;
    }
    this.#underWay++;
    const finish = (answer: () => void) => {
      this.#underWay--;
      always?.();
      if (this.#isOver) {
        if (this.#underWay === 0) this.#settled?.();
        return;
      }
      try {
        answer();
        this.#planReady();
      } catch (error) {
        this.#broken(error);
      }
    };
    // Settles once, whatever a plugin takes for a promise.
    Promise.resolve(result).then(
      () => {
        finish(succeeded);
      },
      (error: unknown) => {
        finish(() => {
          failed(error);
        });
      },
    );
  }

  /** Answers that become ready in one turn leave together. */
  #planReady(): void {
    if (this.#isReadyPlanned) return;
    this.#isReadyPlanned = true;
    queueMicrotask(() => {
      this.#isReadyPlanned = false;
      this.#ready();
    });
  }
}
