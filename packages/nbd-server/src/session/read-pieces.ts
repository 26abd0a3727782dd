import type { RangeSink } from '@nbd/protocol';

/** A part of a read's reply. */
export interface Piece {
  /** Bytes from the start of the read. */
  readonly start: number;
  readonly length: number;
  /** Reads as zeroes: only told, not sent. */
  readonly hole: boolean;
}

/** A chunk costs both sides more than to send a few zeroes. */
const SHORTEST_HOLE = 4096;
/** "The server SHOULD use chunks with lengths and offsets as an integer multiple of 512 bytes, where possible." */
const ALIGNMENT = 512;
const MOST_HOLES = 64;

/** Collects the holes that a device reports in one read, to cut the reply at them. */
export class HoleCollector implements RangeSink {
  readonly #offset: bigint;
  readonly #length: number;
  #holes: { start: number; end: number }[] = [];

  constructor(offset: bigint, length: number) {
    this.#offset = offset;
    this.#length = length;
  }

  add(offset: bigint, length: bigint): void {
    const from = offset - this.#offset;
    const to = from + length;
    const start = from <= 0n ? 0 : this.#alignUp(from);
    const end = to >= BigInt(this.#length) ? this.#length : this.#alignDown(to);
    if (end - start >= SHORTEST_HOLE && this.#holes.length < MOST_HOLES) this.#holes.push({ start, end });
  }

  /** The reply in pieces, or undefined where no hole is worth it. */
  pieces(): Piece[] | undefined {
    if (this.#holes.length === 0) return undefined;
    const pieces: Piece[] = [];
    let at = 0;
    for (const { start, end } of this.#holes.sort((a, b) => a.start - b.start)) {
      const from = Math.max(at, start);
      if (from >= end) continue;
      if (from > at) pieces.push({ start: at, length: from - at, hole: false });
      pieces.push({ start: from, length: end - from, hole: true });
      at = end;
    }
    if (at < this.#length) pieces.push({ start: at, length: this.#length - at, hole: false });
    return pieces;
  }

  /** Alignments are those of the disk, not of the read. */
  #alignUp(from: bigint): number {
    const misaligned = Number((this.#offset + from) % BigInt(ALIGNMENT));
    return Number(from) + (misaligned === 0 ? 0 : ALIGNMENT - misaligned);
  }

  #alignDown(to: bigint): number {
    return Number(to) - Number((this.#offset + to) % BigInt(ALIGNMENT));
  }
}
