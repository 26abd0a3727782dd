import { Uniform } from './content.js';
import { DATA } from './flags.js';

/** Up to this length it takes less memory and time to copy bytes than to refer to what they are made from. */
export const SMALL = 64n;

/** Bytes in memory. */
export class Bytes extends Uniform {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super(BigInt(bytes.length), DATA);
    this.bytes = bytes;
  }

  read(offset: bigint, into: Uint8Array): void {
    const from = Number(offset);
    into.set(this.bytes.subarray(from, from + into.length));
  }
}
