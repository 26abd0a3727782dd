/** So many zeroes in a row part two islands. */
const GAP = 8;
/** Longer islands are cut, to bound the memory for one. */
const LONGEST = 1 << 20;

/** Bytes of a disk between two gaps. The first and the last are no zeroes. */
export interface Island {
  readonly offset: bigint;
  readonly bytes: Uint8Array;
  /** Up to 7 bytes after it are zeroes: so many may be written with it. */
  readonly room: number;
}

/** Finds the islands in what a disk holds, which is given to it piece by piece. */
export class IslandFinder {
  private readonly found: (island: Island) => void;
  private readonly bytes = new Uint8Array(LONGEST);
  private start = 0n;
  /** Bytes of the island so far, with the zeroes at its end. */
  private length = 0;
  private zeroes = 0;
  /** Where the last piece ended. */
  private at = 0n;

  constructor(found: (island: Island) => void) {
    this.found = found;
  }

  /** `piece` lies at `offset`. What lies between the last piece and this one is zeroes. */
  add(offset: bigint, piece: Uint8Array): void {
    if (offset > this.at) this.finish(offset);
    for (let i = 0; i < piece.length; i++) {
      if (this.length === 0) {
        i = nextNonZero(piece, i);
        if (i === piece.length) break;
        this.start = offset + BigInt(i);
      }
      const byte = piece[i]!;
      this.bytes[this.length++] = byte;
      this.zeroes = byte === 0 ? this.zeroes + 1 : 0;
      if (this.zeroes === GAP) this.end(GAP - 1);
      else if (this.length === LONGEST) this.end(this.zeroes);
    }
    this.at = offset + BigInt(piece.length);
  }

  /** From the end of the last piece up to `offset` there are zeroes. */
  finish(offset: bigint): void {
    const after = BigInt(this.zeroes) + offset - this.at;
    this.end(after < GAP ? Number(after) : GAP - 1);
  }

  private end(room: number): void {
    if (this.length === 0) return;
    this.found({ offset: this.start, bytes: this.bytes.slice(0, this.length - this.zeroes), room });
    this.length = 0;
    this.zeroes = 0;
  }
}

function nextNonZero(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] === 0) at++;
  return at;
}
