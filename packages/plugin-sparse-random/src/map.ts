import type { Awaitable } from '@nbd/protocol';
import { MarkovMap } from './markov-map.js';
import { chainOf } from './chain.js';

/**
 * Told of a run of blocks that are all data or all hole.
 * @param end the block after the last one
 * @returns false to stop
 */
export type RunVisitor = (data: boolean, first: number, end: number) => boolean;

/** Where data is on a disk. Blocks are counted from 0. */
export interface DiskMap {
  /** Blocks before a place that decide, on average, whether it is data; up to Infinity. Walking 2^28 takes 0.25 s. */
  readonly lookBack: number;
  /**
   * Calls `visit` for all blocks from `first` up to `end`, in order. A long run may come in several pieces. Long work
   * is done in slices, and then the result is a promise.
   * @throws NbdError EIO if it would take more than about a minute to look back.
   */
  visit(first: number, end: number, visit: RunVisitor, signal?: AbortSignal): Awaitable<void>;
}

export interface MapOptions {
  /** 0 to 2^32 - 1. */
  readonly seed: number;
  /** How much is data: 0 to 100. */
  readonly percent: number;
  /** Average length of a run of data, in bytes. */
  readonly runLength: bigint;
}

export function createMap({ seed, percent, runLength }: MapOptions): DiskMap {
  if (percent === 0 || percent === 100) return uniformMap(percent === 100);
  return new MarkovMap(seed, chainOf(percent, runLength));
}

function uniformMap(data: boolean): DiskMap {
  return {
    lookBack: 0,
    visit(first, end, visit) {
      if (first < end) visit(data, first, end);
    },
  };
}
