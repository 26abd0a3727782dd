/** A value, or a promise of it. A method that returns the value itself is served without a microtask. */
export type Awaitable<T> = T | Promise<T>;

/** Whether it has to be waited for. Promises of other realms count, which `instanceof` would take for values. */
export function isPromise<T>(value: Awaitable<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

/** Largest size of a device in bytes: 2^63 - 1. */
export const MAX_DEVICE_SIZE = 0x7fff_ffff_ffff_ffffn;

/**
 * A disk: what a plugin opens, a server serves, a client is and a copy joins. Its methods are the commands of the
 * protocol's transmission phase; one that is absent is not supported.
 *
 * The caller keeps to the bounds (`offset + length <= size`), to `info.blockSize` and to `info.readOnly`: a device
 * need not check them again. Many calls may be under way at once, in any order. Buffers belong to the caller: a
 * device touches them only until the call has settled.
 *
 * A method throws (or rejects with) an `NbdError` for an error that the other side should see as such. Anything
 * else that is thrown counts as `EIO`.
 *
 * ```ts
 * const ruler: BlockDevice = {
 *   size: 1024n,
 *   read(offset, into) {
 *     for (let i = 0; i < into.length; i++) into[i] = Number(offset) + i;
 *   },
 * };
 * ```
 */
export interface BlockDevice {
  /** Bytes, 0 to 2^63 - 1. It does not change while the device is open. */
  readonly size: bigint;
  readonly info?: DeviceInfo;

  /** Fills all of `into` with the bytes from `offset` on. */
  read(offset: bigint, into: Uint8Array, options?: ReadOptions): Awaitable<void>;
  /**
   * Gives the bytes that `read` would read to `sink`, in order, as parts of open files: a server can have the kernel
   * send them from there. Only what can be had without waiting, and now: it returns at once.
   * @returns whether `sink` has taken all of them. If not, `read` is called instead, and says what is wrong where
   *   something is.
   */
  locate?(offset: bigint, length: number, sink: LocatedSink): boolean;
  /** Writes all of `from` at `offset`. */
  write?(offset: bigint, from: Uint8Array, options?: WriteOptions): Awaitable<void>;
  /** Makes `length` bytes from `offset` read as zeroes. */
  zero?(offset: bigint, length: bigint, options?: ZeroOptions): Awaitable<void>;
  /** A hint that `length` bytes from `offset` are no longer needed; what they read as afterwards is undefined. */
  trim?(offset: bigint, length: bigint, options?: TrimOptions): Awaitable<void>;
  /** A hint that `length` bytes from `offset` will be read soon. */
  cache?(offset: bigint, length: bigint, options?: CallOptions): Awaitable<void>;
  /** Settles once every write that has settled before the call is on stable storage. */
  flush?(options?: CallOptions): Awaitable<void>;
  /**
   * Describes the extents from `offset` on, in order and without gaps, by calling `sink.add` at least once. It may
   * stop short of `length`, to bound the work of one call, and the last extent may reach beyond it. It stops when
   * `sink.add` returns false. A device without this method is data all over.
   */
  extents?(offset: bigint, length: bigint, sink: ExtentSink, options?: ExtentsOptions): Awaitable<void>;
  /** Lets go of what the device holds. No other call follows, but perhaps a second `close`, which does nothing. */
  close?(): Awaitable<void>;
}

/** What a device tells about itself. All of it is fixed while the device is open. */
export interface DeviceInfo {
  /** Writing is refused, though `write` may be there. */
  readonly readOnly?: boolean;
  /** Has the seek times of a spinning disk. */
  readonly rotational?: boolean;
  /**
   * The device may be opened several times at once, over the same content, and a flush on one of them covers the
   * writes that have settled on all of them.
   */
  readonly multiConn?: boolean;
  /** `zero` takes `fastZero`: it is quick, or fails at once with `ENOTSUP` and nothing changed. */
  readonly fastZero?: boolean;
  /** `write`, `zero` and `trim` take `fua`. Without it the caller follows them with a flush. */
  readonly fua?: boolean;
  readonly blockSize?: BlockSize;
  /** Names of the meta contexts that `extents` answers besides `base:allocation`, such as `x-example:dirty`. */
  readonly contexts?: readonly string[];
  /** One line for people. */
  readonly description?: string;
}

/** Size constraints in bytes. Protocol document, "Size constraints". */
export interface BlockSize {
  /** Every offset and length is a multiple of it. A power of 2, 1 to 65 536. */
  readonly minimum: number;
  /** Multiples of it are efficient. A power of 2, at least 512 and at least `minimum`. */
  readonly preferred: number;
  /** Longest payload of one read or write; at least `preferred`, at most 2^32 - 1. */
  readonly maximum: number;
}

export interface CallOptions {
  /** When it aborts, the caller has lost interest: the device may stop and reject. */
  readonly signal?: AbortSignal;
}

export interface ReadOptions extends CallOptions {
  /** Told of ranges within `into` that are zeroes and need not be looked at. They are filled all the same. */
  readonly holes?: RangeSink;
}

export interface WriteOptions extends CallOptions {
  /** Force unit access: settle only once the data is on stable storage. */
  readonly fua?: boolean;
}

export type TrimOptions = WriteOptions;

export interface ZeroOptions extends WriteOptions {
  /** Keep the range allocated: later writes to it must not fail for lack of space. */
  readonly noHole?: boolean;
  /** Be faster than a write of zeroes, or fail at once with `ENOTSUP` and nothing changed. */
  readonly fastZero?: boolean;
}

export interface ExtentsOptions extends CallOptions {
  /** Which of `base:allocation` (the default) and `info.contexts` is asked for. */
  readonly context?: string;
}

export interface ExtentSink {
  /**
   * The next extent: `length` bytes, at least 1, with these flags (for `base:allocation` the bits of
   * `ExtentFlag`).
   * @returns false when the sink has seen enough.
   */
  add(length: bigint, flags: number): boolean;
}

/** Takes the bytes of a range one part after the other. What a method returns is whether it has taken the part. */
export interface LocatedSink {
  /** `length` bytes of an open file from `position` on, which the system has in memory. The file may be closed then. */
  addFile(fd: number, position: bigint, length: number): boolean;
  /** Bytes that are in no file. They are copied. */
  addBytes(bytes: Uint8Array): boolean;
}

export interface RangeSink {
  /** `length` bytes from `offset`, in bytes from the start of the device. */
  add(offset: bigint, length: bigint): void;
}
