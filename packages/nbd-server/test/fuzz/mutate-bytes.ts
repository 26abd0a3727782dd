import type { Random } from './random.js';

/** Changes a few of the bytes, in place. */
export function mutateBytes(random: Random, stream: Uint8Array): void {
  if (stream.length === 0) return;
  const at = random.below(stream.length);
  if (random.oneIn(2)) stream[at]! ^= 1 << random.below(8);
  else if (random.oneIn(2)) stream[at] = random.below(256);
  else putNumber(random, stream, at);
}

const TELLING = [0, 1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 1 << 25, 1 << 27];

/** A number of 32 bits such as lengths go wrong with. */
export function putNumber(random: Random, bytes: Uint8Array, at: number): void {
  if (at + 4 > bytes.length) return;
  const number = random.pick([
    ...TELLING,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    random.below(2 ** 32),
  ]);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, number);
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
