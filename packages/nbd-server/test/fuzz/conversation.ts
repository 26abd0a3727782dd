import {
  BASE_ALLOCATION,
  ClientFlag,
  Command,
  CommandFlag,
  encodeBlockStatusPayload,
  encodeClientFlags,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  Option,
} from '@nbd/protocol';
import { encodeCompact, encodeExtended, type RawRequest } from '../raw/raw-client.js';
import { content, DISK_SIZE, HOLE } from './disk.js';
import type { Random } from './random.js';

/** Something that a client says, and what it has to know to understand the answer. */
export type Message =
  | { readonly kind: 'flags' | 'garbage'; readonly bytes: Uint8Array }
  | { readonly kind: 'option'; readonly option: number; readonly bytes: Uint8Array }
  | { readonly kind: 'request'; readonly request: RawRequest; readonly bytes: Uint8Array };

/** A conversation as an honest client has it: each message is well-formed and in its place. */
export interface Conversation {
  readonly messages: readonly Message[];
  /** Transmission was asked for, with an export that exists. */
  readonly begins: boolean;
  readonly noZeroes: boolean;
  readonly style: 'simple' | 'structured' | 'extended';
  /** Ids of the meta contexts that were selected last. */
  readonly contextIds: readonly number[];
  /** Block sizes were asked for: the server may refuse what is not aligned to them. */
  readonly knowsBlockSizes: boolean;
}

export function honestConversation(random: Random): Conversation {
  const isFixed = !random.oneIn(8);
  const noZeroes = random.oneIn(2);
  const flags = (isFixed ? ClientFlag.FIXED_NEWSTYLE : 0) | (noZeroes ? ClientFlag.NO_ZEROES : 0);
  const messages: Message[] = [{ kind: 'flags', bytes: encodeClientFlags(flags) }];
  const name = random.pick(['', '', 'second']);
  let style: Conversation['style'] = 'simple';
  let contextIds: readonly number[] = [];
  let knowsBlockSizes = false;
  const say = (option: number, data?: Uint8Array) => {
    messages.push({ kind: 'option', option, bytes: encodeOption(option, data) });
  };
  for (let count = isFixed ? random.below(7) : 0; count > 0; count--) {
    switch (random.below(8)) {
      case 0:
        say(Option.LIST);
        break;
      case 1:
        say(Option.STRUCTURED_REPLY);
        if (style === 'simple') style = 'structured';
        break;
      case 2:
        say(Option.EXTENDED_HEADERS);
        style = 'extended';
        break;
      case 3: {
        const first = random.below(3);
        const queries = [BASE_ALLOCATION, 'x-fuzz:parity', 'x-other:z'].slice(first);
        say(Option.SET_META_CONTEXT, encodeMetaContextRequest({ name, queries }));
        contextIds = style === 'simple' ? [] : [1, 2].slice(first);
        break;
      }
      case 4:
        say(
          Option.LIST_META_CONTEXT,
          encodeMetaContextRequest({ name, queries: random.pick([[], ['base:']]) }),
        );
        break;
      case 5:
        say(random.pick([99, Option.STARTTLS]));
        break;
      default:
        say(
          Option.INFO,
          encodeInfoRequest({ name: random.pick(['', 'second', 'nosuch']), infos: [0, 1, 2, 3, 77] }),
        );
    }
  }
  const begins = !random.oneIn(10);
  if (!begins) {
    if (isFixed) say(Option.ABORT);
    return { messages, begins, noZeroes, style, contextIds, knowsBlockSizes };
  }
  if (style !== 'extended' && (!isFixed || random.oneIn(3))) {
    say(Option.EXPORT_NAME, new TextEncoder().encode(name));
  } else {
    knowsBlockSizes = random.oneIn(2);
    say(Option.GO, encodeInfoRequest({ name, infos: knowsBlockSizes ? [0, 1, 2, 3] : [] }));
  }
  const isExtended = style === 'extended';
  for (let count = random.below(random.pick([3, 10, 60])); count > 0; count--) {
    const request = {
      ...honestRequest(random, isExtended, contextIds.length),
      cookie: BigInt(messages.length),
    };
    const header = isExtended ? encodeExtended(request) : encodeCompact(request);
    const { payload = new Uint8Array(0) } = request;
    const bytes = new Uint8Array(header.length + payload.length);
    bytes.set(header);
    bytes.set(payload, header.length);
    messages.push({ kind: 'request', request, bytes });
  }
  return { messages, begins, noZeroes, style, contextIds, knowsBlockSizes };
}

/** What the server can do, or refuses with an error. */
function honestRequest(random: Random, isExtended: boolean, contexts: number): RawRequest {
  const length = random.oneIn(20) ? 0 : random.upTo(random.pick([64, 5000, 70_000]));
  const offset = random.pick([
    () => random.below(DISK_SIZE - length),
    () => random.below(DISK_SIZE - length),
    // Around the edges of the hole, and beyond the end.
    () => random.pick([HOLE.start, HOLE.end]) - random.upTo(length + 1),
    () => DISK_SIZE - random.below(length + 1),
  ])();
  const place = { offset: BigInt(offset), length: BigInt(length) };
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
      return { command: Command.READ, ...place };
    case 3:
    case 4: {
      const payload = new Uint8Array(length);
      payload.set(content(offset, length));
      // qemu does not set it.
      const flags = isExtended && random.oneIn(2) ? CommandFlag.PAYLOAD_LEN : 0;
      return { command: Command.WRITE, flags, ...place, payload };
    }
    case 5:
      return { command: random.pick([Command.TRIM, Command.CACHE]), ...place };
    case 6: {
      const flags = random.pick([0, CommandFlag.FUA, CommandFlag.FAST_ZERO, CommandFlag.NO_HOLE]);
      return { command: Command.WRITE_ZEROES, flags, ...place };
    }
    case 7:
      return { command: random.pick([Command.FLUSH, Command.RESIZE, 4711]) };
    default: {
      const flags = random.pick([0, CommandFlag.REQ_ONE]);
      if (!isExtended || contexts === 0 || random.oneIn(2)) {
        return { command: Command.BLOCK_STATUS, flags, ...place };
      }
      const payload = encodeBlockStatusPayload({
        length: place.length,
        contextIds: random.pick([[1], [2], [1, 2], [3]]),
      });
      return {
        command: Command.BLOCK_STATUS,
        flags: flags | CommandFlag.PAYLOAD_LEN,
        ...place,
        length: BigInt(payload.length),
        payload,
      };
    }
  }
}
