import { Bytes, SMALL } from './bytes.js';
import type { Content } from './content.js';
import { Fill } from './fill.js';
import { DATA } from './flags.js';
import { Sequence } from './sequence.js';
import { slice } from './slice.js';

/** Content that lies at an offset. */
interface Piece {
  readonly start: bigint;
  readonly content: Content;
}

/** Where the items of one list are written, at any offsets: what is written later lies over what was there. */
export class Canvas {
  private readonly pieces: Piece[] = [];
  private inOrder = true;
  private end = 0n;
  /** Small pieces that follow one on the other become one. */
  private small: number[] = [];

  write(start: bigint, content: Content): void {
    if (content.length === 0n) return;
    if (start !== this.end) this.gather();
    if (start < this.end) this.inOrder = false;
    if (
      content.length <= SMALL &&
      (content instanceof Bytes || content instanceof Fill) &&
      content.flags === DATA
    ) {
      const bytes = new Uint8Array(Number(content.length));
      content.read(0n, bytes);
      this.small.push(...bytes);
      this.end = start + content.length;
    } else {
      this.gather();
      this.add(start, content);
    }
  }

  /** What has been written, as content of this length. */
  finish(length: bigint): Content {
    this.gather();
    const parts: Content[] = [];
    let at = 0n;
    for (const { start, content } of this.inOrder ? this.pieces : uncovered(this.pieces)) {
      if (start > at) parts.push(Fill.hole(start - at));
      parts.push(content);
      at = start + content.length;
    }
    if (at < length) parts.push(Fill.hole(length - at));
    if (parts.length > 1) return new Sequence(parts);
    return parts[0] ?? Fill.hole(0n);
  }

  private gather(): void {
    if (this.small.length === 0) return;
    const content = new Bytes(Uint8Array.from(this.small));
    this.small = [];
    this.add(this.end - content.length, content);
  }

  private add(start: bigint, content: Content): void {
    this.pieces.push({ start, content });
    this.end = start + content.length;
  }
}

/**
 * What can be seen of pieces where later ones lie over earlier ones, in order of place. The cells between all their
 * ends are given away from the last piece to the first; `next` leads past the cells that are taken.
 */
function* uncovered(pieces: readonly Piece[]): Generator<Piece> {
  const ends = pieces.flatMap(({ start, content }) => [start, start + content.length]);
  const bounds = BigInt64Array.from(new Set(ends)).sort();
  const cellAt = new Map(Array.from(bounds, (bound, cell) => [bound, cell]));
  const owners = new Array<Piece | undefined>(bounds.length);
  const next = Uint32Array.from(bounds, (_, cell) => cell);

  for (const piece of pieces.toReversed()) {
    const end = cellAt.get(piece.start + piece.content.length)!;
    for (let cell = firstFree(next, cellAt.get(piece.start)!); cell < end; cell = firstFree(next, cell)) {
      owners[cell] = piece;
      next[cell] = cell + 1;
    }
  }

  for (let cell = 0; cell < bounds.length;) {
    const owner = owners[cell];
    const start = bounds[cell]!;
    do cell++;
    while (cell < bounds.length && owners[cell] === owner);
    if (owner !== undefined) {
      yield { start, content: slice(owner.content, start - owner.start, bounds[cell]! - start) };
    }
  }
}

/** The first cell from `cell` on that is not taken; what led there is shortened on the way. */
function firstFree(next: Uint32Array, cell: number): number {
  while (next[cell] !== cell) {
    next[cell] = next[next[cell]!]!;
    cell = next[cell]!;
  }
  return cell;
}
