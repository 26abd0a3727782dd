import type { Place } from './source.js';

/**
 * What the parser makes of a string: what to write, in which order. Names are gone: where one was used, its
 * expression stands, shared by all its uses. So this is no tree but a graph without cycles, and what it describes may
 * be exponentially larger than it is.
 */
export type Expression = Bytes | List | Repeat | Slice | File | Script | UnknownName;

export interface Bytes {
  readonly kind: 'bytes';
  readonly bytes: Uint8Array;
}

/** Items written one after the other, with offsets of its own that start at 0: `( … )`, a `$VAR`, the string itself. */
export interface List {
  readonly kind: 'list';
  readonly items: readonly Item[];
  readonly depth: number;
  readonly place: Place;
}

export type Item = Expression | Offset | Assignment;

/** `@N`, `@+N`, `@-N` or `@^N`. */
export interface Offset {
  readonly kind: 'offset';
  readonly move: 'to' | 'forward' | 'back' | 'align';
  readonly amount: bigint;
  readonly place: Place;
}

/** `expression -> \name`, which writes nothing. */
export interface Assignment {
  readonly kind: 'assignment';
  /** Takes the assignment back. */
  readonly undo: () => void;
}

export interface Repeat {
  readonly kind: 'repeat';
  readonly inner: Expression;
  readonly count: bigint;
  readonly depth: number;
  readonly place: Place;
}

/** `inner[from:to]` */
export interface Slice extends Range {
  readonly kind: 'slice';
  readonly inner: Expression;
  readonly depth: number;
  readonly place: Place;
}

export interface Range {
  readonly from: bigint;
  /** undefined: to the end. */
  readonly to: bigint | undefined;
}

/** `<path`, with the slice of it that is read: unlike other slices it may reach past the end. */
export interface File {
  readonly kind: 'file';
  readonly path: string;
  readonly range: Range | undefined;
  readonly place: Place;
}

/** `<(text)` */
export interface Script {
  readonly kind: 'script';
  readonly text: string;
  /** Set by a slice `[:N]`: bytes after which the script is stopped. */
  readonly stopAfter: bigint | undefined;
  readonly place: Place;
}

/** A `\name` that stands for nothing: an error only where it is needed. */
export interface UnknownName {
  readonly kind: 'unknown-name';
  readonly message: string;
  readonly place: Place;
}

/** Whether it can be told at a glance that nothing is written. */
export function isEmpty(item: Item): boolean {
  return item.kind === 'list' ? item.items.length === 0 : item.kind === 'bytes' && item.bytes.length === 0;
}
