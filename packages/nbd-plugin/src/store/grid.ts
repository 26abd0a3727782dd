import { BLOCK_SIZE } from './slots.js';

/** Blocks from `start` up to `end`. */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
}

/** How a disk is divided into blocks. The last one is a short one if the size is no multiple of a block's. */
export class Grid {
  readonly size: bigint;
  /** How many blocks there are. */
  readonly blocks: number;
  /** Offsets fit a number, which is quicker. */
  private readonly small: boolean;

  constructor(size: bigint) {
    this.size = size;
    this.small = size <= 2n ** 52n;
    this.blocks = this.blockAt(size + BigInt(BLOCK_SIZE - 1));
  }

  blockAt(offset: bigint): number {
    return this.small ? Math.floor(Number(offset) / BLOCK_SIZE) : Number(offset / BigInt(BLOCK_SIZE));
  }

  /** Bytes from the start of `block`, in which `offset` lies. */
  withinBlock(offset: bigint, block: number): number {
    return this.small ? Number(offset) - block * BLOCK_SIZE : Number(offset % BigInt(BLOCK_SIZE));
  }

  startOf(block: number): bigint {
    return BigInt(block) * BigInt(BLOCK_SIZE);
  }

  lengthOf(block: number): number {
    return block === this.blocks - 1 ? Number(this.size - this.startOf(block)) : BLOCK_SIZE;
  }

  /** The blocks that have bytes between two offsets. */
  touched(offset: bigint, end: bigint): BlockRange {
    return { start: this.blockAt(offset), end: this.blockAt(end - 1n) + 1 };
  }

  /** The blocks that lie wholly between two offsets: none if `end` is not after `start`. */
  whole(offset: bigint, end: bigint): BlockRange {
    return {
      start: this.blockAt(offset + BigInt(BLOCK_SIZE - 1)),
      end: end === this.size ? this.blocks : this.blockAt(end),
    };
  }

  /** The blocks, two at most, that lie in part between two offsets. */
  edges(offset: bigint, end: bigint): number[] {
    const touched = this.touched(offset, end);
    const whole = this.whole(offset, end);
    const edges = touched.start < whole.start ? [touched.start] : [];
    if (touched.end > whole.end && touched.end - 1 !== edges[0]) edges.push(touched.end - 1);
    return edges;
  }
}
