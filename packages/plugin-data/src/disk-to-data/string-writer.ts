import type { Island } from './islands.js';
import { wordsOf } from './words.js';

/** Islands with the same bytes, each as far from the one before. */
interface Row {
  readonly first: Island;
  last: Island;
  /** Bytes from one to the next; 0 while there is only one. */
  period: bigint;
  count: bigint;
  /** The least room that one of them has. */
  room: number;
}

/** Fewer are written one by one. */
const SHORTEST_ROW = 3n;
const WIDTH = 78;

/** Writes islands, in order of place, as lines of the data language. */
export class StringWriter {
  readonly lines: string[] = [];
  /** Bytes that the lines spell out. */
  spelled = 0;
  private row: Row | undefined;
  /** The offset where the string is. */
  private at = 0n;

  add(island: Island): void {
    const { row } = this;
    const distance = row === undefined ? 0n : island.offset - row.last.offset;
    if (row === undefined || (row.count > 1n && row.period !== distance) || !sameBytes(row.last, island)) {
      this.endRow(island.offset);
      this.row = { first: island, last: island, period: 0n, count: 1n, room: island.room };
    } else {
      row.last = island;
      row.period = distance;
      row.count++;
      row.room = Math.min(row.room, island.room);
    }
  }

  /** Makes the string end at `size`. */
  finish(size: bigint): void {
    this.endRow(size);
    if (this.at < size) this.lines.push(offsetWord(size));
  }

  /** Writes the row. Up to `next`, what is after it is zeroes. */
  private endRow(next: bigint): void {
    if (this.row === undefined) return;
    const { first, last, period, count, room } = this.row;
    const { words, length, spelled } = wordsOf(first.bytes, first.offset, room);
    this.spelled += spelled;
    if (count < SHORTEST_ROW) {
      this.write(first.offset, words, first.offset + BigInt(length));
      if (count > 1n) this.write(last.offset, words, last.offset + BigInt(length));
      return;
    }
    // Each repetition ends where the next one begins, and the last one where it would; if there is no place for that, it
    // is written after the others.
    const whole = first.offset + count * period <= next;
    const repeats = whole ? count : count - 1n;
    const padding = BigInt(length) < period ? [offsetWord(period)] : [];
    const repeated = ['(', ...words, ...padding, `)*${String(repeats)}`];
    const end = first.offset + repeats * period;
    this.write(first.offset, repeated, end);
    if (!whole) this.write(end, words, end + BigInt(length));
  }

  /** Writes words that begin at `start` and end at `end`, on lines of their own. */
  private write(start: bigint, words: readonly string[], end: bigint): void {
    let line = start === this.at ? '' : offsetWord(start);
    for (const word of words) {
      if (line.length + 1 + word.length > WIDTH && line.trim() !== '') {
        this.lines.push(line);
        line = ' ';
      }
      line += line === '' ? word : ` ${word}`;
    }
    this.lines.push(line);
    this.at = end;
  }
}

function offsetWord(offset: bigint): string {
  return `@0x${offset.toString(16)}`;
}

function sameBytes(a: Island, b: Island): boolean {
  return a.bytes.length === b.bytes.length && a.bytes.every((byte, i) => byte === b.bytes[i]);
}
