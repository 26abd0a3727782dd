import type { Awaitable, ExtentSink } from '@nbd/protocol';
import { allDone } from './all-done.js';
import { Bytes, SMALL } from './bytes.js';
import type { Content } from './content.js';
import { Fill } from './fill.js';

/** `content`, `count` times; both that and the content's length are at least 1. */
export function repeat(content: Content, count: bigint): Content {
  if (count === 1n) return content;
  if (content instanceof Fill) return content.resized(content.length * count);
  if (content instanceof Repeat) return new Repeat(content.inner, content.count * count);
  if (content instanceof Bytes) {
    const { bytes, length } = content;
    if (bytes.every((byte) => byte === bytes[0])) return Fill.of(bytes[0]!, length * count);
    if (length * count <= SMALL) return new Bytes(copyOn(new Uint8Array(Number(length * count)), bytes));
  }
  return new Repeat(content, count);
}

export class Repeat implements Content {
  readonly length: bigint;
  readonly flags: number | undefined;
  readonly inner: Content;
  readonly count: bigint;

  constructor(inner: Content, count: bigint) {
    this.length = inner.length * count;
    this.flags = inner.flags;
    this.inner = inner;
    this.count = count;
  }

  /** Reads one repetition at most, from where `offset` falls in it, and copies that over the rest. */
  read(offset: bigint, into: Uint8Array): Awaitable<void> {
    const period = this.inner.length;
    const within = offset % period;
    const left = period - within;
    if (left >= BigInt(into.length)) return this.inner.read(within, into);

    const tail = into.subarray(0, Number(left));
    const once = period < BigInt(into.length) ? into.subarray(0, Number(period)) : into;
    const head = once.subarray(tail.length);
    const reads = [this.inner.read(within, tail), head.length > 0 ? this.inner.read(0n, head) : undefined];
    const pending = reads.filter((reading) => reading !== undefined);
    if (pending.length > 0) return allDone(pending).then(() => void copyOn(into, once));
    copyOn(into, once);
  }

  extents(offset: bigint, length: bigint, sink: ExtentSink): boolean {
    if (this.flags !== undefined) return sink.add(length, this.flags);
    const end = offset + length;
    for (let at = offset; at < end;) {
      const within = at % this.inner.length;
      const left = this.inner.length - within;
      const part = left < end - at ? left : end - at;
      if (!this.inner.extents(within, part, sink)) return false;
      at += part;
    }
    return true;
  }
}

/** Fills `into` with `pattern`, which may be the start of it, over and over. */
function copyOn(into: Uint8Array, pattern: Uint8Array): Uint8Array {
  into.set(pattern);
  for (let filled = pattern.length; filled < into.length; filled *= 2) into.copyWithin(filled, 0, filled);
  return into;
}
