import { Uniform } from './content.js';
import { DATA, HOLE, ZERO } from './flags.js';

/** Zeroes of this length are worth an extent of their own: who copies the disk need not read them. */
const LONG = 4096n;

/** One byte over and over. */
export class Fill extends Uniform {
  readonly byte: number;

  private constructor(byte: number, length: bigint, flags: number) {
    super(length, flags);
    this.byte = byte;
  }

  /** `length` times `byte`, written. */
  static of(byte: number, length: bigint): Fill {
    return new Fill(byte, length, byte === 0 && length >= LONG ? ZERO : DATA);
  }

  /** `length` bytes where nothing is written. */
  static hole(length: bigint): Fill {
    return new Fill(0, length, HOLE);
  }

  /** The same, of another length. */
  resized(length: bigint): Fill {
    return this.flags === HOLE ? Fill.hole(length) : Fill.of(this.byte, length);
  }

  read(_offset: bigint, into: Uint8Array): void {
    into.fill(this.byte);
  }
}
