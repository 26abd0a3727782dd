/** Longer than any message of the handshake and any header with what belongs to it. */
const CAPACITY = 64 << 10;

/**
 * Bytes that have arrived and are not yet understood, in one buffer with room behind them. It is the same for the
 * handshake and the transmission, because a transport may hold a part of it while one passes into the other.
 */
export class Inlet {
  readonly bytes = new Uint8Array(CAPACITY);
  /** What has arrived is `bytes[start]` to `bytes[end - 1]`. */
  start = 0;
  end = 0;

  get length(): number {
    return this.end - this.start;
  }

  /**
   * Where the next bytes go: at least 1 byte, and at most so many. What is there moves to the front when little room is
   * left.
   */
  room(most = CAPACITY): Uint8Array {
    if (this.start === this.end) this.start = this.end = 0;
    else if (this.start > CAPACITY / 2) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    return this.bytes.subarray(this.end, this.end + most);
  }

  /** The next `length` bytes, which must be there, as a view that is good until the next `room()`. */
  take(length: number): Uint8Array {
    const taken = this.bytes.subarray(this.start, this.start + length);
    this.start += length;
    return taken;
  }
}
