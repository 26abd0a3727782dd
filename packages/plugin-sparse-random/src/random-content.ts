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
const AHEAD = 2 + 2 * HELPERS;

/** Sequences that are followed at the same time: of a few connections, each for reading and writing. */
const SEQUENCES = 16;

/** Every byte is random: the low bytes of the draws of each block's generator. */
export function randomContent(seed: number): Content {
  const blocks = new RandomBlocks(seed);
  return {
    fill(block, skip, into) {
      blocks.follow(block, skip + into.length);
      for (let start = 0, end = BLOCK_SIZE - skip; start < into.length; start = end, end += BLOCK_SIZE) {
        const at = blocks.find(block++, into.length - start);
        blocks.bytes.copy(into, start, at + skip, at + BLOCK_SIZE);
        skip = 0;
      }
    },

    firstDifference(block, skip, from) {
      blocks.follow(block, skip + from.length);
      for (let start = 0, end = BLOCK_SIZE - skip; start < from.length; start = end, end += BLOCK_SIZE) {
        const at = blocks.find(block++, from.length - start);
        const difference = firstDifference(from, start, Math.min(end, from.length), blocks.bytes, at + skip);
        if (difference !== -1) return difference;
        skip = 0;
      }
      return -1;
    },

    byteAt(block, skip) {
      return blocks.bytes[blocks.find(block + Math.floor(skip / BLOCK_SIZE), 1) + (skip % BLOCK_SIZE)]!;
    },

    close: () => blocks.close(),
  };
}

/** Blocks, made when they are asked for and kept for a while. */
class RandomBlocks {
  readonly bytes: Buffer;
  readonly #memory = Batches.allocate();
  readonly #batches: Batches;
  readonly #seed: number;
  /** Where blocks are, or will be: slot * BATCH + index in the batch. */
  readonly #places = new Map<number, number>();
  /** Where sequences of requests go on, and up to where blocks are wanted for them. */
  readonly #sequences: { next: number; wanted: number }[] = [];
  #helpers: Worker[] | undefined;

  constructor(seed: number) {
    this.#seed = seed;
    this.#batches = new Batches(this.#memory, seed);
    this.bytes = this.#batches.bytes;
  }

  /**
   * Where in `bytes` the block is; good until the next call.
   * @param length bytes from this block on that will be asked for: they are made together
   */
  find(block: number, length: number): number {
    const place = this.#places.get(block) ?? this.#want(block, Math.ceil(length / BLOCK_SIZE));
    this.#batches.need(Math.floor(place / BATCH));
    return place * BLOCK_SIZE;
  }

  /** Lets helpers make what will follow, if this goes on where an earlier request ended. */
  follow(block: number, length: number): void {
    const end = block + Math.floor(length / BLOCK_SIZE);
    const earlier = this.#sequences.findIndex(({ next }) => next === block);
    const [sequence = { next: end, wanted: end }] = earlier === -1 ? [] : this.#sequences.splice(earlier, 1);
    this.#sequences.push(sequence);
    if (this.#sequences.length > SEQUENCES) this.#sequences.shift();
    if (earlier === -1 || HELPERS < 1) return;

    this.#helpers ??= this.#startHelpers();
    sequence.next = end;
    let wanted = Math.max(sequence.wanted, end);
    for (; wanted < end + AHEAD * BATCH; wanted += BATCH) {
      if (!this.#places.has(wanted)) this.#want(wanted, BATCH);
    }
    if (wanted > sequence.wanted) this.#batches.ringBell();
    sequence.wanted = wanted;
  }

  async close(): Promise<void> {
    await Promise.all((this.#helpers ?? []).map((helper) => helper.terminate()));
  }

  /** @returns the place of the first block */
  #want(block: number, count: number): number {
    const slot = this.#batches.nextSlot();
    const given = this.#batches.firstBlock(slot);
    for (let i = 0; i < this.#batches.blockCount(slot); i++) {
      if (this.#places.get(given + i) === slot * BATCH + i) this.#places.delete(given + i);
    }
    this.#batches.want(slot, block, count);
    for (let i = 0; i < this.#batches.blockCount(slot); i++) this.#places.set(block + i, slot * BATCH + i);
    return slot * BATCH;
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
