import type { CallOptions as DeviceCallOptions, RangeSink } from '@nbd/protocol';
import type { DialOptions } from './dial.js';
import type { Reconnect } from './dispatcher.js';
import type { Wishes } from './session/handshake.js';
import type { WindowLimits } from './window.js';

/** How to use a disk, apart from where it is. */
export interface DiskOptions extends Wishes, DialOptions {
  /** Connections to use, where the server allows several to one disk; 1 if not given. */
  readonly connections?: number;
  /** How much may be under way at once, on all connections together. */
  readonly window?: WindowLimits;
  /** Milliseconds for each call that does not say otherwise; 0, the default, for no limit. */
  readonly timeout?: number;
  /** Establish lost connections again, and repeat what is safe to repeat. Off if not given. */
  readonly reconnect?: Reconnect;
}

export interface CallOptions extends DeviceCallOptions {
  /** Milliseconds; 0 for no limit. By default that of the client. */
  readonly timeout?: number;
}

export interface ReadOptions extends CallOptions {
  /** Told of ranges that are zeroes, once the server has answered. They are filled all the same. */
  readonly holes?: RangeSink;
  /** Have the server send each reply in one piece (`NBD_CMD_FLAG_DF`). Ignored where it can't. */
  readonly dontFragment?: boolean;
}

export interface WriteOptions extends CallOptions {
  /** Settle only once the data is on stable storage; with a flush, where the server has no such flag. */
  readonly fua?: boolean;
}

export interface ZeroOptions extends WriteOptions {
  /** Keep the range allocated: later writes to it must not fail for lack of space. */
  readonly noHole?: boolean;
  /** Be faster than a write of zeroes, or fail at once with `ENOTSUP` and nothing changed. */
  readonly fastZero?: boolean;
}

export interface ExtentsOptions extends CallOptions {
  /** One of the meta contexts that were agreed on; `base:allocation` if not given. */
  readonly context?: string;
  /** One extent only, and not beyond what was asked for (`NBD_CMD_FLAG_REQ_ONE`). */
  readonly one?: boolean;
}

/** A part of the disk, for an iteration over its extents. */
export interface ExtentsRange extends CallOptions {
  readonly context?: string;
  /** Bytes from the start; 0 if not given. */
  readonly offset?: bigint;
  /** Bytes; up to the end of the disk if not given. */
  readonly length?: bigint;
}
