const CAPACITY = 64 << 10;

/** What a connection has until it sends more at a time: many are idle. */
const INITIAL_CAPACITY = 2 << 10;

/**
 * Bytes received and not yet consumed, in one buffer with room at its end. What is consumed leaves at the front; the
 * rest moves there when the room gets small.
 */
export class ReceiveWindow {
  bytes = new Uint8Array(INITIAL_CAPACITY);
  /** The unconsumed bytes are `bytes[start]` to `bytes[end - 1]`. */
  start = 0;
  end = 0;

  /** Bytes that will be taken in one piece once they are there; 0 if none are waited for. */
  wanted = 0;

  get length(): number {
    return this.end - this.start;
  }

  /** More may be received though nothing is consumed, and the buffer does not grow. */
  get isRoomy(): boolean {
    return this.length <= CAPACITY / 2;
  }

  /** Where the next bytes go: at least 1 byte. */
  room(): Uint8Array {
    const least = this.end === this.bytes.length ? CAPACITY : 0;
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
      if (this.bytes.length > CAPACITY && this.wanted <= CAPACITY) this.bytes = new Uint8Array(CAPACITY);
    }
    const capacity = Math.max(
      this.wanted,
      least,
      this.length < this.bytes.length ? this.bytes.length : 2 * this.bytes.length,
    );
    if (
      capacity > this.bytes.length ||
      this.end > this.bytes.length / 2 ||
      this.start + this.wanted > capacity
    ) {
      this.#compact(capacity);
    }
    return this.bytes.subarray(this.end);
  }

  /** The next `length` bytes, which must be there, as a view that is good until the next `room()`. */
  take(length: number): Uint8Array {
    const taken = this.bytes.subarray(this.start, this.start + length);
    this.start += length;
    return taken;
  }

  /** Moves what is unconsumed to the start of the buffer, or of a new one where it has another size. */
  #compact(capacity: number): void {
    if (capacity === this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
    } else {
      const larger = new Uint8Array(capacity);
      larger.set(this.bytes.subarray(this.start, this.end));
      this.bytes = larger;
    }
    this.end -= this.start;
    this.start = 0;
  }
}
