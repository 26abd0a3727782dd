/** Takes bytes from the front, and throws where there are fewer than belong there. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  startsWith(bytes: Uint8Array): boolean {
    return Buffer.compare(this.#bytes.subarray(this.#at, this.#at + bytes.length), bytes) === 0;
  }

  peek(count: number): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at, this.#at + count);
    if (bytes.length < count) throw new Error(`the server said ${bytes.length} bytes where ${count} belong`);
    return bytes;
  }

  take(count: number): Uint8Array {
    const bytes = this.peek(count);
    this.#at += count;
    return bytes;
  }
}
