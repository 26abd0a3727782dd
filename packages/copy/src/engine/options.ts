export interface CopyOptions extends StreamOptions {
  /** Reads everything, whatever the source says of its extents. */
  readonly ignoreExtents?: boolean;
  /** Where to begin, in bytes: what is before is copied already. A multiple of 65 536. */
  readonly start?: bigint;
}

/** Options that have a meaning for a source that comes in order, too. */
export interface StreamOptions {
  /** Bytes of one read and write, a multiple of 4096; 1 048 576 unless told otherwise. */
  readonly requestSize?: number;
  /** Reads and writes under way at once; 64. At most `requests * requestSize` bytes are held. */
  readonly requests?: number;
  /** Data that turns out to be zeroes in blocks of so many bytes is made sparse. A power of 2, or 0 for never; 4 096. */
  readonly sparse?: number;
  /** Zeroes are written so that the destination is fully allocated. */
  readonly allocated?: boolean;
  /** The destination reads as zeroes all over: zeroes need not be written. */
  readonly destinationIsZero?: boolean;
  /** The destination is flushed before the copy counts as done; true. */
  readonly flush?: boolean;
  readonly signal?: AbortSignal;
  /** Called often, with the same object changed: see {@link Progress}. */
  readonly progress?: (progress: Progress) => void;
  /** How messages call both sides; `the source` and `the destination`. */
  readonly names?: { readonly source: string; readonly destination: string };
}

/** How far a copy is. In bytes. */
export interface Progress {
  /** Undefined for a stream, until it has ended. */
  readonly size: bigint | undefined;
  /** All before it is copied; after a failure, too. */
  readonly done: bigint;
  /** Read from the source. */
  readonly read: bigint;
  /** Written to the destination as data. */
  readonly written: bigint;
}

/** Blocks in which data and zeroes are told apart when nobody asks for others. */
export const GRANULARITY = 4096;

export const REQUEST_SIZE = 1 << 20;
export const REQUESTS = 64;

/**
 * The sizes of a copy, from what was asked for and what the devices take.
 * @param blockSizes of those who have to do with its requests
 */
export function sizesOf(
  options: StreamOptions,
  blockSizes: readonly ({ readonly minimum: number; readonly maximum: number } | undefined)[],
): Sizes {
  const block = Math.max(1, ...blockSizes.map((size) => size?.minimum ?? 1));
  const longest = Math.min(
    options.requestSize ?? REQUEST_SIZE,
    ...blockSizes.map((size) => size?.maximum ?? Infinity),
  );
  return {
    block,
    // Every request but the last is whole blocks of both devices.
    requestSize: Math.max(block, longest - (longest % block)),
    requests: options.requests ?? REQUESTS,
  };
}

export interface Sizes {
  /** The largest minimum block size, in bytes. */
  readonly block: number;
  /** Bytes; a multiple of `block`. */
  readonly requestSize: number;
  readonly requests: number;
}
