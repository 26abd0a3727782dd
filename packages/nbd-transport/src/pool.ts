const SMALLEST = 12; // 4 KiB: a page, the smallest read that is common
const LARGEST = 25; // 32 MiB: the largest payload that every server takes

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
  readonly #allocate: (length: number) => Uint8Array;
  readonly #maxIdle: number;
  #idleBytes = 0;

  /**
   * @param options.maxIdle bytes kept for later use; 32 MiB unless told otherwise
   * @param options.allocate makes a new buffer; its content does not matter
   */
  constructor(options: { maxIdle?: number; allocate?: (length: number) => Uint8Array } = {}) {
    this.#maxIdle = options.maxIdle ?? 1 << LARGEST;
    this.#allocate = options.allocate ?? ((length) => new Uint8Array(length));
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
}

function sizeClass(length: number): number {
  return Math.max(SMALLEST, 32 - Math.clz32(length - 1));
}
