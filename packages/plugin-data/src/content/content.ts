import type { Awaitable, ExtentSink } from '@nbd/protocol';

/**
 * Bytes that are computed where they are read: a node of what an {@link Expression} is laid out to. Nodes are shared,
 * and none is ever expanded: a node is as large as what describes it.
 */
export interface Content {
  /** Bytes, 0 to 2^63 - 1. */
  readonly length: bigint;
  /** Flags of the one extent that it is, if it is one. */
  readonly flags: number | undefined;
  /** Fills `into` with the bytes from `offset` on, which lie within. */
  read(offset: bigint, into: Uint8Array): Awaitable<void>;
  /**
   * Describes `length` bytes from `offset` on, which lie within. Neighbours may have the same flags, but not many in
   * a row.
   * @returns false once the sink has had enough.
   */
  extents(offset: bigint, length: bigint, sink: ExtentSink): boolean;
}

/** Content that is one extent. */
export abstract class Uniform implements Content {
  readonly length: bigint;
  readonly flags: number;

  constructor(length: bigint, flags: number) {
    this.length = length;
    this.flags = flags;
  }

  abstract read(offset: bigint, into: Uint8Array): Awaitable<void>;

  extents(_offset: bigint, length: bigint, sink: ExtentSink): boolean {
    return sink.add(length, this.flags);
  }
}
