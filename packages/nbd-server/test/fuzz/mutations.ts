import { honestConversation, type Message } from './conversation.js';
import type { Random } from './random.js';

/** What a client says that was honest once. */
export function mutated(random: Random, messages: readonly Message[]): Uint8Array {
  const parts = messages.map(({ bytes }) => bytes);
  for (let count = random.upTo(4); count > 0; count--) mutateParts(random, parts);
  const stream = concatenate(parts);
  for (let count = random.below(4); count > 0; count--) mutateBytes(random, stream);
  return random.oneIn(5) ? stream.subarray(0, random.below(stream.length + 1)) : stream;
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

function mutateParts(random: Random, parts: Uint8Array[]): void {
  const at = random.below(parts.length + 1);
  switch (random.below(8)) {
    case 0:
      parts.splice(at, 1);
      break;
    case 1:
      parts.splice(at, 0, ...parts.slice(at, at + random.upTo(3)));
      break;
    case 2:
      parts.splice(at, 0, ...parts.splice(random.below(parts.length + 1), 1));
      break;
    case 3:
      parts.splice(at, 0, random.pick(honestConversation(random).messages).bytes);
      break;
    case 4:
      parts.splice(at, 0, random.bytes(random.upTo(200)));
      break;
    case 5:
      if (parts[at]) parts[at] = parts[at].subarray(0, random.below(parts[at].length + 1));
      break;
    case 6:
      if (parts[at]) parts[at] = concatenate([parts[at], random.bytes(random.upTo(40))]);
      break;
    default:
      if (parts[at]) {
        parts[at] = parts[at].slice();
        // A header's length is in its bytes 12 to 15, 24 to 27 or 24 to 31.
        putNumber(random, parts[at], random.pick([4, 6, 8, 12, 16, 20, 24, 28]));
      }
  }
}

function mutateBytes(random: Random, stream: Uint8Array): void {
  if (stream.length === 0) return;
  const at = random.below(stream.length);
  if (random.oneIn(2)) stream[at]! ^= 1 << random.below(8);
  else if (random.oneIn(2)) stream[at] = random.below(256);
  else putNumber(random, stream, at);
}

const TELLING = [0, 1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 1 << 25, 1 << 27];

/** A number of 32 bits such as lengths go wrong with. */
function putNumber(random: Random, bytes: Uint8Array, at: number): void {
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
