import { setTimeout } from 'node:timers/promises';
import { NbdError, type BlockDevice } from '@nbd/protocol';
import { attempt } from '../engine/attempt.js';
import { copy } from '../engine/copy.js';
import type { CopyOptions, Progress } from '../engine/options.js';
import { compareSamples } from './samples.js';
import { writeState, type Side, type State } from './state-file.js';

export interface ResumableOptions extends Omit<CopyOptions, 'start'> {
  /** The file that tells how far the copy is. */
  readonly file: string;
  /** What tells the source and the destination from others. */
  readonly identities: { readonly source: string; readonly destination: string };
  /** What the file has of an earlier run; undefined if there was none. */
  readonly earlier: State | undefined;
  /** Milliseconds until the first note of how far it is; each later one takes twice as long, up to 2000. 50. */
  readonly interval?: number;
}

/** A state counts whole steps: a multiple of every minimum block size. */
const STEP = 65_536n;

/**
 * Milliseconds between one note and the next. The first come soon, lest a copy that is interrupted early and often
 * never gets anywhere; later they are rarer, since each has the destination flushed.
 */
const FIRST_INTERVAL = 50;
const LONGEST_INTERVAL = 2000;

/**
 * Copies as {@link copy} does, and notes in a file how far it is, so that after an interruption it can go on from
 * there. What is noted has been flushed. The file stays: it is the caller's to remove when all is well.
 *
 * @throws NbdError ENODEV if source or destination are not those that `earlier` tells of; EIO if the file can't be
 *   written; as copy
 */
export async function copyResumable(
  source: BlockDevice,
  destination: BlockDevice,
  options: ResumableOptions,
): Promise<Progress> {
  const { earlier, file } = options;
  const state: State = {
    source: { identity: options.identities.source, size: source.size },
    destination: { identity: options.identities.destination, size: destination.size },
    done: earlier?.done ?? 0n,
  };
  if (earlier) {
    checkSides(earlier, state, options);
    const { names, signal, ignoreExtents = false } = options;
    const checking = { ignoreExtents, ...(names && { names }), ...(signal && { signal }) };
    await compareSamples(source, destination, state.done, checking);
  }
  // Before anything is copied: a file that can't be written is better known now.
  await writeState(file, state);
  const notes = new Notes(destination, state, options);
  const signal = options.signal ? AbortSignal.any([options.signal, notes.failed]) : notes.failed;
  try {
    return await copy(source, destination, {
      ...options,
      start: state.done,
      signal,
      // What came after the state is not zero any more.
      destinationIsZero: options.destinationIsZero === true && !earlier,
      progress: (progress) => {
        notes.done = progress.done;
        options.progress?.(progress);
      },
    });
  } catch (error) {
    if (notes.failed.aborted) throw notes.failed.reason;
    throw error;
  } finally {
    await notes.end();
  }
}

/** Notes how far the copy is, from time to time. */
class Notes {
  /** All before it is copied. */
  done: bigint;
  readonly #destination: BlockDevice;
  readonly #file: string;
  readonly #name: string;
  readonly #interval: number;
  #state: State;
  readonly #over = new AbortController();
  readonly #failed = new AbortController();
  readonly #work: Promise<void>;

  constructor(destination: BlockDevice, state: State, { file, names, interval }: ResumableOptions) {
    this.#destination = destination;
    this.#file = file;
    this.#name = names?.destination ?? 'the destination';
    this.#interval = interval ?? FIRST_INTERVAL;
    this.#state = state;
    this.done = state.done;
    this.#work = this.#run();
  }

  /** Aborts when nothing can be noted any more, with the reason. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Nothing more is to be noted but what was done last, if that still can be. */
  async end(): Promise<void> {
    this.#over.abort();
    await this.#work;
    if (!this.#failed.signal.aborted) await this.#note().catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    try {
      for (let interval = this.#interval; ; interval = Math.min(interval * 2, LONGEST_INTERVAL)) {
        await setTimeout(interval, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) return;
        await this.#note();
      }
    } catch (error) {
      this.#failed.abort(error);
    }
  }

  async #note(): Promise<void> {
    const done = this.done - (this.done % STEP);
    if (done === this.#state.done) return;
    // It covers what had been written when it began: more may be done by its end.
    await attempt(`flushing ${this.#name}`, undefined, () => this.#destination.flush?.());
    this.#state = { ...this.#state, done };
    await writeState(this.#file, this.#state);
  }
}

function checkSides(earlier: State, now: State, { names, file }: ResumableOptions): void {
  for (const side of ['source', 'destination'] as const) {
    checkSide(side, names?.[side] ?? `the ${side}`, earlier[side], now[side], file);
  }
  if (earlier.done < 0n || earlier.done > now.source.size || earlier.done % STEP !== 0n) {
    throw new NbdError('EINVAL', `${file} tells of ${earlier.done} bytes, which can't be`);
  }
}

/**
 * Whether a side is the one that it was.
 * @param file that of the state, for the message
 * @throws NbdError ENODEV if it is another
 */
export function checkSide(
  side: 'source' | 'destination',
  name: string,
  before: Side,
  after: Side,
  file: string,
): void {
  if (before.size === after.size && before.identity === after.identity) return;
  const difference =
    before.size !== after.size
      ? `it has ${after.size} bytes, and had ${before.size}`
      : `it is '${after.identity}', and was '${before.identity}'`;
  throw new NbdError(
    'ENODEV',
    `${name} is not the ${side} that ${file} tells of: ${difference}. Remove ${file} to copy from the start`,
  );
}
