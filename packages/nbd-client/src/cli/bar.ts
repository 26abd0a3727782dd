import { formatSize } from '@nbd/protocol';
import type { Extent } from '../extents.js';
import { meaningOf } from './map.js';

/** From what stands for nothing to what stands for data. */
const SIGNS = ['·', '░', '▒', '▓', '█'];

/**
 * A picture of the disk in one line: each character is an equal part of it, and the darker the more of the part is
 * data. For other meta contexts, the more of it has flags.
 */
export class Bar {
  readonly #context: string;
  readonly #size: bigint;
  /** Bytes of data in each part. */
  readonly #marked: bigint[];

  /** @param width in characters */
  constructor(context: string, size: bigint, width: number) {
    this.#context = context;
    this.#size = size;
    this.#marked = new Array<bigint>(width).fill(0n);
  }

  add({ offset, length, flags }: Extent): void {
    if (!this.#isMarked(flags)) return;
    const end = offset + length;
    for (let part = this.#partAt(offset); part < this.#marked.length && this.#start(part) < end; part++) {
      const from = max(offset, this.#start(part));
      const to = min(end, this.#start(part + 1));
      if (to > from) this.#marked[part]! += to - from;
    }
  }

  /** The bar and what it means, in two lines. */
  lines(): string[] {
    const bar = this.#marked.map((marked, part) =>
      this.#sign(marked, this.#start(part + 1) - this.#start(part)),
    );
    const mark = this.#context.startsWith('base:') ? 'data' : (meaningOf(this.#context, 1) ?? 'flags set');
    const part = formatSize(this.#start(1));
    return [
      `▕${bar.join('')}▏`,
      ` ${SIGNS.at(-1)} ${mark}   ${SIGNS[0]} none   each ${part} of ${formatSize(this.#size)}`,
    ];
  }

  #isMarked(flags: number): boolean {
    return this.#context.startsWith('base:') ? (flags & 2) === 0 : flags !== 0;
  }

  #sign(marked: bigint, length: bigint): string {
    if (marked === 0n || length === 0n) return SIGNS[0]!;
    return SIGNS[1 + Number((marked * 3n) / length)]!;
  }

  #start(part: number): bigint {
    return (this.#size * BigInt(part)) / BigInt(this.#marked.length);
  }

  #partAt(offset: bigint): number {
    return this.#size === 0n ? 0 : Number((offset * BigInt(this.#marked.length)) / this.#size);
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
