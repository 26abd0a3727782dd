import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Batches, BATCH } from './batches.js';
import { BLOCK_SIZE } from './blocks.js';
import { firstDifference } from './compare.js';
import type { Content } from './content.js';
import type { HelperData } from './helper.js';

/** Threads that make blocks ahead of sequential reads, beside the one that serves. */
const HELPERS = Math.min(availableParallelism() - 1, 3);

/** Batches that are wanted ahead, so that all threads have work. */
const AHEAD = 8 * HELPERS;

/** Every byte is random: the low bytes of the draws of each block's generator. */
export function randomContent(seed: number): Content {
  const blocks = new RandomBlocks(seed);
  return {
    fill(block, skip, into) {
      blocks.prepare(block, Math.ceil((skip + into.length) / BLOCK_SIZE));
      for (let start = 0, end = BLOCK_SIZE - skip; start < into.length; start = end, end += BLOCK_SIZE) {
        const at = blocks.find(block++);
        blocks.bytes.copy(into, start, at + skip, at + BLOCK_SIZE);
        skip = 0;
      }
    },

    firstDifference(block, skip, from) {
      blocks.prepare(block, Math.ceil((skip + from.length) / BLOCK_SIZE));
      for (let start = 0, end = BLOCK_SIZE - skip; start < from.length; start = end, end += BLOCK_SIZE) {
        const at = blocks.find(block++);
        const difference = firstDifference(from, start, Math.min(end, from.length), blocks.bytes, at + skip);
        if (difference !== -1) return difference;
        skip = 0;
      }
      return -1;
    },

    byteAt(block, skip) {
      const wanted = block + Math.floor(skip / BLOCK_SIZE);
      blocks.prepare(wanted, 1);
      return blocks.bytes[blocks.find(wanted) + (skip % BLOCK_SIZE)]!;
    },

    close: () => blocks.close(),
  };
}

/** Blocks, made when they are asked for or before, and kept for a while. */
class RandomBlocks {
  readonly bytes: Buffer;
  readonly #memory = Batches.allocate();
  readonly #batches: Batches;
  readonly #seed: number;
  /** Where batches are, or will be. */
  readonly #slots = new Map<number, number>();
  /** Blocks that were made for one request only, where they begin and where they are. */
  #once = { block: 0, count: 0, at: 0 };
  #helpers: Worker[] | undefined;

  constructor(seed: number) {
    this.#seed = seed;
    this.#batches = new Batches(this.#memory, seed);
    this.bytes = this.#batches.bytes;
  }

  /** To be called before `find` is, for the blocks of one request. */
  prepare(block: number, count: number): void {
    const first = Math.floor(block / BATCH);
    const last = Math.floor((block + count - 1) / BATCH);
    // Where the batch before is there, requests are sequential, in whatever order several connections bring them.
    const isSequential = this.#slots.has(first - 1);
    if (!isSequential && count <= BATCH / 2 && !this.#slots.has(first) && !this.#slots.has(last)) {
      this.#once = { block, count, at: this.#batches.makeOnce(block, count) };
      return;
    }
    this.#once.count = 0;
    const end = isSequential ? last + AHEAD : last;
    let isNews = false;
    for (let batch = first; batch <= end; batch++) {
      if (this.#slots.has(batch)) continue;
      this.#want(batch);
      isNews = true;
    }
    if (!isNews || HELPERS < 1) return;
    this.#helpers ??= this.#startHelpers();
    this.#batches.ringBell();
  }

  /** Where in `bytes` a block is that was prepared; good until the next call. */
  find(block: number): number {
    const once = block - this.#once.block;
    if (once >= 0 && once < this.#once.count) return this.#once.at + once * BLOCK_SIZE;
    const batch = Math.floor(block / BATCH);
    // A request may be longer than all that is kept.
    const slot = this.#slots.get(batch) ?? this.#want(batch);
    return this.#batches.need(slot) + (block - batch * BATCH) * BLOCK_SIZE;
  }

  async close(): Promise<void> {
    await Promise.all((this.#helpers ?? []).map((helper) => helper.terminate()));
  }

  /** @returns the slot that the batch will be in */
  #want(batch: number): number {
    const slot = this.#batches.nextSlot();
    const given = this.#batches.batchIn(slot);
    if (this.#slots.get(given) === slot) this.#slots.delete(given);
    this.#batches.want(slot, batch);
    this.#slots.set(batch, slot);
    return slot;
  }

  #startHelpers(): Worker[] {
    const workerData: HelperData = { memory: this.#memory, seed: this.#seed };
    return Array.from({ length: HELPERS }, () => {
      const helper = new Worker(new URL('./helper.js', import.meta.url), { workerData });
      helper.unref();
      // Without helpers all is made here.
      helper.on('error', () => undefined);
      return helper;
    });
  }
}
