import {
  encodeOption,
  decodeMessage,
  decodeOptionReplyHeader,
  isOptionError,
  NbdError,
  Option,
  OPTION_REPLY_HEADER_SIZE,
  OptionReply,
  type TlsIdentity,
} from '@nbd/protocol';

/** What a dialogue of the handshake waits for: so many bytes, or that the connection has become TLS. */
export type Demand = number | 'tls';

/**
 * A part of the handshake, written as what is said in turns: `yield 18` waits for 18 bytes and gives them, as a view
 * that is good until the next `yield`. It knows of no transport and no time.
 */
export type Dialogue<T> = Generator<Demand, T, Uint8Array>;

/** The client's voice in a dialogue. */
export interface Voice {
  say(message: Uint8Array): void;
  /** Whether the connection can become TLS. */
  readonly tlsPossible: boolean;
  /** Who the server proved to be; undefined in the clear. */
  readonly tls: TlsIdentity | undefined;
}

/** A server's no to an option. */
export interface Refusal {
  /** `OptionReply.ERR_…`, or one that is not known. */
  readonly type: number;
  /** What the server said to people; may be empty. */
  readonly message: string;
}

// A server may answer an option with any number of replies of any length: these bounds are far above what is of use
// (nbdkit lists 10 000 exports at most), and keep a hostile one from filling the memory.
const MAX_REPLY_LENGTH = 16 << 10;
const MAX_REPLIES = 65_536;
const MAX_REPLIES_LENGTH = 16 << 20;

/**
 * Sets an option and hears all replies to it.
 * @param hear given each reply before the last, with its data
 * @returns undefined when the server has acknowledged, its refusal otherwise.
 * @throws NbdError EPROTO for replies that break the rules.
 */
export function* ask(
  voice: Voice,
  option: number,
  data?: Uint8Array,
  hear?: (type: number, data: Uint8Array) => void,
): Dialogue<Refusal | undefined> {
  voice.say(encodeOption(option, data));
  let total = 0;
  for (let count = 0; ; count++) {
    const header = decodeOptionReplyHeader(yield OPTION_REPLY_HEADER_SIZE);
    const { type, length } = header;
    if (header.option !== option) {
      throw broken(`answers option ${optionName(header.option)} when asked for ${optionName(option)}`);
    }
    if (length > MAX_REPLY_LENGTH) {
      throw broken(`announces ${length} bytes in a reply to option ${optionName(option)}`);
    }
    total += length;
    if (count >= MAX_REPLIES || total > MAX_REPLIES_LENGTH) {
      throw broken(`does not come to an end of its replies to option ${optionName(option)}`);
    }
    const reply = length === 0 ? NOTHING : yield length;
    if (isOptionError(type)) return { type, message: decodeMessage(reply) };
    if (type === OptionReply.ACK) {
      if (length > 0) throw broken(`acknowledges option ${optionName(option)} with data`);
      return undefined;
    }
    if (!hear) throw broken(`sends a reply of type ${type} to option ${optionName(option)}`);
    hear(type, reply);
  }
}

/** An error of a server that breaks the protocol, after which the connection can only be closed. */
export function broken(what: string): NbdError {
  return new NbdError('EPROTO', `the server ${what}`);
}

export function optionName(option: number): string {
  return OPTION_NAMES.get(option) ?? String(option);
}

/** What a refusal says, for people: `ERR_POLICY ("no list for you")`. */
export function describeRefusal({ type, message }: Refusal): string {
  const name = REFUSAL_NAMES.get(type) ?? `error 0x${type.toString(16)}`;
  return message === '' ? name : `${name} (${JSON.stringify(message)})`;
}

const NOTHING = new Uint8Array(0);
const OPTION_NAMES = new Map<number, string>(Object.entries(Option).map(([name, value]) => [value, name]));
const REFUSAL_NAMES = new Map<number, string>(
  Object.entries(OptionReply).map(([name, value]) => [value, name]),
);
