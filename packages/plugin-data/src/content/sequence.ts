import type { Awaitable, ExtentSink } from '@nbd/protocol';
import { allDone } from './all-done.js';
import { SMALL } from './bytes.js';
import type { Content } from './content.js';

/** Contents one after the other; there are at least two, and none is empty. */
export class Sequence implements Content {
  readonly length: bigint;
  readonly flags: number | undefined;
  private readonly parts: readonly Content[];
  /** Where each part starts; one more, where the last one ends. */
  private readonly starts: readonly bigint[];
  /** Of each part, the index of the next one that is not the same extent. */
  private readonly next: Uint32Array;
  /** All of it, once it was read, if it is small. */
  private copy: Uint8Array | undefined;

  constructor(parts: readonly Content[]) {
    const starts = [0n];
    for (const { length } of parts) starts.push(starts.at(-1)! + length);
    this.length = starts.at(-1)!;
    this.parts = parts;
    this.starts = starts;
    this.next = nextExtents(parts);
    this.flags = this.next[0] === parts.length ? parts[0]!.flags : undefined;
  }

  read(offset: bigint, into: Uint8Array): Awaitable<void> {
    if (this.length <= SMALL) return this.readSmall(Number(offset), into);
    return this.readParts(offset, into);
  }

  private readSmall(from: number, into: Uint8Array): Awaitable<void> {
    if (this.copy === undefined) {
      const copy = new Uint8Array(Number(this.length));
      const reading = this.readParts(0n, copy);
      if (reading !== undefined) return this.readParts(BigInt(from), into);
      this.copy = copy;
    }
    into.set(this.copy.subarray(from, from + into.length));
  }

  private readParts(offset: bigint, into: Uint8Array): Awaitable<void> {
    const reads: Promise<void>[] = [];
    let part = this.partAt(offset);
    let within = offset - this.starts[part]!;
    for (let at = 0; at < into.length; part++, within = 0n) {
      const content = this.parts[part]!;
      const left = content.length - within;
      const end = left < BigInt(into.length - at) ? at + Number(left) : into.length;
      const reading = content.read(within, into.subarray(at, end));
      if (reading !== undefined) reads.push(reading);
      at = end;
    }
    if (reads.length > 0) return allDone(reads);
  }

  extents(offset: bigint, length: bigint, sink: ExtentSink): boolean {
    const end = offset + length;
    let part = this.partAt(offset);
    for (let at = offset; at < end; part = this.next[part]!) {
      const content = this.parts[part]!;
      const partsEnd = this.starts[this.next[part]!]!;
      const stop = partsEnd < end ? partsEnd : end;
      const more =
        content.flags === undefined
          ? content.extents(at - this.starts[part]!, stop - at, sink)
          : sink.add(stop - at, content.flags);
      if (!more) return false;
      at = stop;
    }
    return true;
  }

  /** Index of the part that has the byte at `offset`. */
  private partAt(offset: bigint): number {
    let low = 0;
    let high = this.parts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function nextExtents(parts: readonly Content[]): Uint32Array {
  const next = new Uint32Array(parts.length);
  for (let part = parts.length - 1; part >= 0; part--) {
    const { flags } = parts[part]!;
    const joins = flags !== undefined && flags === parts[part + 1]?.flags;
    next[part] = joins ? next[part + 1]! : part + 1;
  }
  return next;
}
