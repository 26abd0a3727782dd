/** Most separate pieces that a reply may lie in at a time: far more than any server needs, each one costs memory. */
const MAX_PIECES = 16_384;

/**
 * Which bytes of a read have been answered. Chunks come in any order, must not overlap, and must cover the whole
 * request (protocol document, "Structured replies" of `NBD_CMD_READ`).
 */
export class Coverage {
  /** Everything before is covered: chunks that come in order need no more than this. */
  #front = 0;
  /** Covered ranges beyond it, in order, apart from each other: starts at even places, ends at odd ones. */
  #ranges: number[] | undefined;

  /**
   * Marks `start` to `end - 1`, relative to the request.
   * @returns what is wrong with that, if something is.
   */
  add(start: number, end: number): string | undefined {
    if (start < this.#front) return 'overlaps another';
    if (start === this.#front && this.#ranges === undefined) {
      this.#front = end;
      return undefined;
    }
    return this.#insert(start, end);
  }

  covers(length: number): boolean {
    return this.#front === length;
  }

  #insert(start: number, end: number): string | undefined {
    const ranges = (this.#ranges ??= []);
    // The first range that starts at or after the new one.
    let low = 0;
    let high = ranges.length / 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[2 * middle]! < start) low = middle + 1;
      else high = middle;
    }
    const at = 2 * low;
    const before = at > 0 ? ranges[at - 1]! : -1;
    const after = at < ranges.length ? ranges[at]! : Infinity;
    if (before > start || after < end) return 'overlaps another';
    if (before === start && after === end) ranges.splice(at - 1, 2);
    else if (before === start) ranges[at - 1] = end;
    else if (after === end) ranges[at] = start;
    else ranges.splice(at, 0, start, end);
    if (ranges.length > 2 * MAX_PIECES) return `is one of more than ${MAX_PIECES} scattered pieces`;
    if (ranges[0] === this.#front) {
      this.#front = ranges[1]!;
      ranges.splice(0, 2);
      if (ranges.length === 0) this.#ranges = undefined;
    }
    return undefined;
  }
}
