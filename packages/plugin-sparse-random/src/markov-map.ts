import { setImmediate } from 'node:timers/promises';
import { formatSize, NbdError } from '@nbd/protocol';
import type { Awaitable } from '@nbd/protocol';
import { BLOCK_SIZE, offsetOf } from './blocks.js';
import { averageLookBack, type Chain } from './chain.js';
import type { DiskMap, RunVisitor } from './map.js';
import { Walker, WINDOW } from './walker.js';

/** Windows walked without letting anything else happen: 2 ms of work. */
const WALKS_AT_ONCE = 32;

/** Windows that a look-back may be expected to take: a minute of work. */
const LONGEST_LOOK_BACK = 2 ** 20;

/** Bytes of windows that are kept, about, and what one takes without flips and for each of them. */
const CACHE_SIZE = 8 * 2 ** 20;
const BYTES_PER_WINDOW = 160;
const BYTES_PER_FLIP = 8;

/** The runs of WINDOW blocks. */
interface Window {
  readonly startsAsData: boolean;
  /** The blocks, counted from the window's first, that differ from the one before them. */
  readonly flips: readonly number[];
  /** The state after the last draw, in which the next window starts. */
  readonly endsAsData: boolean;
}

/**
 * The map that a {@link Chain} makes, computed where it is asked for.
 *
 * To start in the middle one has to know the state there. A draw between the chain's two limits ends the one state and
 * leaves the other, so after it the state is known, whatever it was before; a draw below both turns it over; other
 * draws change nothing. So it is enough to look back to the last draw of the first kind and to count those of the
 * second since then.
 */
export class MarkovMap implements DiskMap {
  readonly lookBack: number;
  readonly #walker: Walker;
  /** The state after a draw between the limits. */
  readonly #forcedToData: boolean;
  /** In the order in which they were computed; the oldest go first. */
  readonly #windows = new Map<number, Window>();
  #cachedBytes = 0;
  /** Settles when the last of the long look-backs, which are done one after the other, is over. */
  #longLookBack: Promise<unknown> = Promise.resolve();

  constructor(seed: number, chain: Chain) {
    this.#walker = new Walker(seed, chain);
    this.lookBack = averageLookBack(chain);
    this.#forcedToData = chain.leaveHole > chain.leaveData;
  }

  visit(first: number, end: number, visit: RunVisitor, signal?: AbortSignal): Awaitable<void> {
    let computed = 0;
    for (let block = first; block < end; block = endOfWindow(block)) {
      const index = Math.floor(block / WINDOW);
      let window = this.#windows.get(index);
      if (window === undefined && computed++ < WALKS_AT_ONCE) window = this.#computeAtOnce(index);
      if (window === undefined) return this.#visitInSlices(block, end, visit, signal);
      if (!visitWindow(window, index * WINDOW, block, end, visit)) return;
    }
  }

  async #visitInSlices(first: number, end: number, visit: RunVisitor, signal?: AbortSignal): Promise<void> {
    let computed = 0;
    for (let block = first; block < end; block = endOfWindow(block)) {
      const index = Math.floor(block / WINDOW);
      let window = this.#windows.get(index);
      if (window === undefined) {
        if (++computed % WALKS_AT_ONCE === 0) await setImmediate(undefined, signal && { signal });
        window = this.#computeAtOnce(index) ?? (await this.#computeInSlices(index, signal));
      }
      if (!visitWindow(window, index * WINDOW, block, end, visit)) return;
    }
  }

  /** The window, or undefined if it takes too many walks. */
  #computeAtOnce(index: number): Window | undefined {
    const steps = this.#compute(index);
    for (let walks = 0; walks < WALKS_AT_ONCE; walks++) {
      const step = steps.next();
      if (step.done) return step.value;
    }
    return undefined;
  }

  /** Requests that wait for the same place share one look-back: it is cached when their turn comes. */
  #computeInSlices(index: number, signal: AbortSignal | undefined): Promise<Window> {
    const turn = this.#longLookBack.then(async () => {
      const steps = this.#compute(index);
      for (let walks = 1; ; walks++) {
        const step = steps.next();
        if (step.done) return step.value;
        if (walks % WALKS_AT_ONCE === 0) await setImmediate(undefined, signal && { signal });
      }
    });
    this.#longLookBack = turn.catch(() => undefined);
    return turn;
  }

  /** Yields after each walk. */
  *#compute(index: number): Generator<void, Window> {
    const known = this.#windows.get(index);
    if (known !== undefined) return known;
    const startsAsData = yield* this.#stateBefore(index);

    let data = startsAsData;
    const flips: number[] = [];
    this.#walker.walk(index, (block, either) => {
      if (!either && data === this.#forcedToData) return;
      data = !data;
      if (block + 1 < WINDOW) flips.push(block + 1);
    });
    // A copy, since an array that has grown has room to spare.
    const window = { startsAsData, flips: flips.slice(), endsAsData: data };
    this.#keep(index, window);
    return window;
  }

  /** The state in which the window starts. Looks back in steps of 1, 2, 4, … windows. */
  *#stateBefore(index: number): Generator<void, boolean> {
    // The first block is a hole, and so is every second one after it.
    if (this.lookBack === 0) return false;
    this.#checkLookBack(index);

    let turnedOver = false;
    let end = index;
    for (let length = 1; ; length *= 2) {
      let first = Math.max(0, end - length);
      // The disk starts as a hole.
      let known = first === 0;
      let data = false;
      for (let before = end - 1; before >= first; before--) {
        const window = this.#windows.get(before);
        if (window === undefined) continue;
        known = true;
        data = window.endsAsData;
        first = before + 1;
      }
      for (let window = first; window < end; window++) {
        this.#walker.walk(window, (_block, either) => {
          if (!either) known = true;
          data = either ? !data : this.#forcedToData;
        });
        yield;
      }
      if (known) return data !== turnedOver;
      turnedOver = turnedOver !== data;
      end = first;
    }
  }

  #checkLookBack(index: number): void {
    const average = this.lookBack / WINDOW;
    if (Math.min(average, index) <= LONGEST_LOOK_BACK) return;
    let nearest = 0;
    for (const known of this.#windows.keys()) if (known < index && known > nearest) nearest = known;
    if (index - nearest <= LONGEST_LOOK_BACK) return;
    const lookBack = formatSize(Math.min(average, index - nearest) * WINDOW * BLOCK_SIZE);
    const offset = offsetOf(index * WINDOW);
    throw new NbdError(
      'EIO',
      `what is at offset ${offset} follows from about ${lookBack} before it, and looking there would take more than ` +
        `a minute. Read on from the start of the disk, take a shorter runlength, or a percent further from 50`,
      { offset },
    );
  }

  #keep(index: number, window: Window): void {
    this.#windows.set(index, window);
    this.#cachedBytes += bytesOf(window);
    for (const [oldest, old] of this.#windows) {
      if (this.#cachedBytes <= CACHE_SIZE) break;
      this.#windows.delete(oldest);
      this.#cachedBytes -= bytesOf(old);
    }
  }
}

function bytesOf({ flips }: Window): number {
  return BYTES_PER_WINDOW + BYTES_PER_FLIP * flips.length;
}

/**
 * @param start the window's first block
 * @returns false if the visitor does not want more
 */
function visitWindow(
  { startsAsData, flips }: Window,
  start: number,
  first: number,
  end: number,
  visit: RunVisitor,
): boolean {
  const last = Math.min(end - start, WINDOW);
  let block = first - start;
  let next = countUpTo(flips, block);
  let data = startsAsData !== (next % 2 === 1);
  while (block < last) {
    const runEnd = Math.min(last, flips[next++] ?? WINDOW);
    if (!visit(data, start + block, start + runEnd)) return false;
    data = !data;
    block = runEnd;
  }
  return true;
}

/** How many elements of a sorted array are at most `limit`. */
function countUpTo(sorted: readonly number[], limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function endOfWindow(block: number): number {
  return (Math.floor(block / WINDOW) + 1) * WINDOW;
}
