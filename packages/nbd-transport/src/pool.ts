const SMALLEST = 12; // 4 KiB: a page, the smallest read that is common
const LARGEST = 25; // 32 MiB: the largest payload that every server takes

/**
 * Bytes left out at the start of a buffer's memory. malloc puts large ones 16 bytes behind the start of a page, and AMD's
 * Zen processors copy to a place that is 1 to 31 bytes further in its page than the source at a quarter of their speed:
 * so each `pread` of a whole page did.
 */
const AWAY_FROM_PAGE = 64;

/**
 * Buffers that are used again: payloads of 4 KiB to 32 MiB in powers of two. It keeps at most `maxIdle` bytes for
 * later; what is over that is left to the garbage collector.
 *
 * ```ts
 * const buffer = pool.take(5000); // 8192 bytes
 * pool.give(buffer);
 * ```
 */
export class BufferPool {
  readonly #idle: Uint8Array[][] = Array.from({ length: LARGEST + 1 }, () => []);
  readonly #memory: (length: number) => Uint8Array;
  readonly #maxIdle: number;
  #idleBytes = 0;

  /**
   * @param options.maxIdle bytes kept for later use; 32 MiB unless told otherwise
   * @param options.memory gives new memory, of which the content does not matter
   */
  constructor(options: { maxIdle?: number; memory?: (length: number) => Uint8Array } = {}) {
    this.#maxIdle = options.maxIdle ?? 1 << LARGEST;
    this.#memory = options.memory ?? ((length) => new Uint8Array(length));
  }

  /** A buffer of at least `length` bytes, with any content. It goes back with {@link give}, whole. */
  take(length: number): Uint8Array {
    const size = sizeClass(length);
    if (size > LARGEST) return this.#allocate(length);
    const buffer = this.#idle[size]!.pop();
    if (buffer === undefined) return this.#allocate(2 ** size);
    this.#idleBytes -= buffer.length;
    return buffer;
  }

  /** Takes back a buffer that {@link take} gave and that nobody uses any more. */
  give(buffer: Uint8Array): void {
    if (buffer.length > 2 ** LARGEST || this.#idleBytes + buffer.length > this.#maxIdle) return;
    this.#idleBytes += buffer.length;
    this.#idle[sizeClass(buffer.length)]!.push(buffer);
  }

  #allocate(length: number): Uint8Array {
    return this.#memory(AWAY_FROM_PAGE + length).subarray(AWAY_FROM_PAGE);
  }
}

function sizeClass(length: number): number {
  return Math.max(SMALLEST, 32 - Math.clz32(length - 1));
}
