import type { Awaitable, ExtentSink } from '@nbd/protocol';
import { Bytes } from './bytes.js';
import type { Content } from './content.js';
import { Fill } from './fill.js';
import { Repeat } from './repeat.js';

/** `length` bytes of `content` from `from` on, which lie within it. */
export function slice(content: Content, from: bigint, length: bigint): Content {
  if (length === content.length) return content;
  if (length === 0n) return Fill.hole(0n);
  if (content instanceof Fill) return content.resized(length);
  if (content instanceof Bytes) return new Bytes(content.bytes.subarray(Number(from), Number(from + length)));
  if (content instanceof Slice) return slice(content.inner, content.from + from, length);
  if (content instanceof Repeat) {
    const within = from % content.inner.length;
    if (within + length <= content.inner.length) return slice(content.inner, within, length);
  }
  return new Slice(content, from, length);
}

class Slice implements Content {
  readonly length: bigint;
  readonly flags: number | undefined;
  readonly inner: Content;
  readonly from: bigint;

  constructor(inner: Content, from: bigint, length: bigint) {
    this.length = length;
    this.inner = inner;
    this.from = from;
    this.flags = inner.flags ?? onlyFlags(inner, from, length);
  }

  read(offset: bigint, into: Uint8Array): Awaitable<void> {
    return this.inner.read(this.from + offset, into);
  }

  extents(offset: bigint, length: bigint, sink: ExtentSink): boolean {
    if (this.flags !== undefined) return sink.add(length, this.flags);
    return this.inner.extents(this.from + offset, length, sink);
  }
}

/** The flags that a part of mixed content has all over, if it has. */
function onlyFlags(content: Content, from: bigint, length: bigint): number | undefined {
  let only: number | undefined;
  const same = content.extents(from, length, {
    add: (_length, flags) => {
      only ??= flags;
      return flags === only;
    },
  });
  return same ? only : undefined;
}
