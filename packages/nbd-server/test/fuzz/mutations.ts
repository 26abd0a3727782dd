import { honestConversation, type Message } from './conversation.js';
import { concatenate, mutateBytes, putNumber } from './mutate-bytes.js';
import type { Random } from './random.js';

/** What a client says that was honest once. */
export function mutated(random: Random, messages: readonly Message[]): Uint8Array {
  const parts = messages.map(({ bytes }) => bytes);
  for (let count = random.upTo(4); count > 0; count--) mutateParts(random, parts);
  const stream = concatenate(parts);
  for (let count = random.below(4); count > 0; count--) mutateBytes(random, stream);
  return random.oneIn(5) ? stream.subarray(0, random.below(stream.length + 1)) : stream;
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
