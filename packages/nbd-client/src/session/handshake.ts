import {
  BASE_ALLOCATION,
  ClientFlag,
  decodeExportNameReply,
  decodeGreeting,
  decodeInfo,
  decodeMetaContext,
  encodeClientFlags,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  encodeString,
  EXPORT_NAME_REPLY_SIZE,
  EXPORT_NAME_REPLY_ZEROES,
  GREETING_MAGIC_SIZE,
  greetingSize,
  HandshakeFlag,
  InfoType,
  isNbdError,
  NbdError,
  Option,
  OptionReply,
  type Greeting,
  type NbdErrorCode,
} from '@nbd/protocol';
import {
  ask,
  broken,
  describeRefusal,
  optionName,
  type Dialogue,
  type Refusal,
  type Voice,
} from './dialogue.js';
import { checkBlockSize, checkFlags, checkSize, DEFAULT_BLOCK_SIZE, type Terms } from './terms.js';

/** What the client would like to agree on. */
export interface Wishes {
  /** The export; the default one, whose name is empty, if not given. */
  readonly exportName?: string;
  /**
   * `require`: go on over TLS only. `allow`: over TLS if the server can, else in the clear, which anyone in between
   * can bring about. `off`, the default: in the clear.
   */
  readonly tls?: 'require' | 'allow' | 'off';
  /** Meta contexts for `extents`; `base:allocation` unless told otherwise. */
  readonly contexts?: readonly string[];
  /** False does without structured replies, and so without `contexts`. */
  readonly structuredReplies?: boolean;
  /** False does without extended headers. */
  readonly extendedHeaders?: boolean;
}

/**
 * From the server's first word to the transmission phase.
 * @throws NbdError EPROTO if the server breaks the protocol; ENOENT if it has no such export; EACCES if it wants TLS
 *   or does not let us in; ENOTSUP if it can't do TLS that is required.
 */
export function* open(voice: Voice, wishes: Wishes): Dialogue<Terms> {
  const exportName = wishes.exportName ?? '';
  const start = yield* begin(voice, wishes);
  const common = { ...NOTHING_MORE, protocol: start.protocol, tls: voice.tls, exportName };
  if (start.protocol === 'oldstyle') return { ...common, size: start.size, flags: start.flags };
  if (start.protocol === 'newstyle') {
    return { ...common, ...(yield* chooseByName(voice, exportName, start.noZeroes)) };
  }
  const replies = yield* chooseReplies(voice, wishes);
  const contexts = replies.structuredReplies
    ? yield* chooseContexts(voice, exportName, wishes.contexts ?? [BASE_ALLOCATION])
    : common.contexts;
  const described = yield* describe(voice, Option.GO, exportName);
  if (described !== undefined) return { ...common, ...replies, contexts, ...described };
  // A server from before 2016. Extended headers rule the old option out.
  if (replies.extendedHeaders) throw broken('refuses GO though it has agreed to extended headers');
  return { ...common, ...replies, contexts, ...(yield* chooseByName(voice, exportName, start.noZeroes)) };
}

type Start =
  | { readonly protocol: 'oldstyle'; readonly size: bigint; readonly flags: number }
  | { readonly protocol: 'newstyle' | 'fixed-newstyle'; readonly noZeroes: boolean };

/** Greeting and TLS. Protocol document, "Newstyle negotiation" and "TLS support". */
export function* begin(voice: Voice, wishes: Wishes): Dialogue<Start> {
  const greeting = yield* hearGreeting();
  if (greeting.style === 'oldstyle') {
    if (wishes.tls === 'require') throw noTls('speaks the old style of the protocol, which has no TLS');
    return { protocol: 'oldstyle', size: checkSize(greeting.size), flags: checkFlags(greeting.flags) };
  }
  const fixed = (greeting.flags & HandshakeFlag.FIXED_NEWSTYLE) !== 0;
  const noZeroes = (greeting.flags & HandshakeFlag.NO_ZEROES) !== 0;
  if (!fixed && wishes.tls === 'require') throw noTls('can only be asked for an export, not for TLS');
  voice.say(
    encodeClientFlags((fixed ? ClientFlag.FIXED_NEWSTYLE : 0) | (noZeroes ? ClientFlag.NO_ZEROES : 0)),
  );
  if (!fixed) return { protocol: 'newstyle', noZeroes };
  if (wishes.tls === 'require' || wishes.tls === 'allow') yield* startTls(voice, wishes.tls);
  return { protocol: 'fixed-newstyle', noZeroes };
}

function* hearGreeting(): Dialogue<Greeting> {
  const magic = (yield GREETING_MAGIC_SIZE).slice();
  const size = greetingSize(magic);
  const greeting = new Uint8Array(size);
  greeting.set(magic);
  greeting.set(yield size - GREETING_MAGIC_SIZE, GREETING_MAGIC_SIZE);
  return decodeGreeting(greeting);
}

/**
 * "A client which only wishes to use TLS SHOULD terminate the session if the `NBD_OPT_STARTTLS` replies with an
 * error": going on in the clear was libnbd's CVE-2019-14842.
 */
function* startTls(voice: Voice, mode: 'require' | 'allow'): Dialogue<void> {
  if (!voice.tlsPossible) {
    if (mode === 'allow') return;
    throw giveUp(
      voice,
      new NbdError('ENOTSUP', 'TLS is required, which this kind of connection does not have'),
    );
  }
  const refusal = yield* ask(voice, Option.STARTTLS);
  if (refusal === undefined) yield 'tls';
  else if (mode === 'require') throw giveUp(voice, noTls(`refuses it: ${describeRefusal(refusal)}`));
}

/** Extended headers, or else structured replies: the first make the second needless. */
export function* chooseReplies(
  voice: Voice,
  wishes: Wishes,
): Dialogue<Pick<Terms, 'structuredReplies' | 'extendedHeaders'>> {
  if (wishes.structuredReplies === false) return { structuredReplies: false, extendedHeaders: false };
  if (wishes.extendedHeaders !== false && (yield* agrees(voice, Option.EXTENDED_HEADERS))) {
    return { structuredReplies: true, extendedHeaders: true };
  }
  return { structuredReplies: yield* agrees(voice, Option.STRUCTURED_REPLY), extendedHeaders: false };
}

function* agrees(voice: Voice, option: number): Dialogue<boolean> {
  const refusal = yield* ask(voice, option);
  // It will say so to every option: there is no way around it.
  if (refusal?.type === OptionReply.ERR_TLS_REQD) throw refused(voice, option, refusal);
  return refusal === undefined;
}

/** @returns the contexts that the server agreed to, with their ids. */
function* chooseContexts(
  voice: Voice,
  name: string,
  queries: readonly string[],
): Dialogue<ReadonlyMap<string, number>> {
  const contexts = new Map<string, number>();
  if (queries.length === 0) return contexts;
  const ids = new Set<number>();
  const data = encodeMetaContextRequest({ name, queries });
  const refusal = yield* ask(voice, Option.SET_META_CONTEXT, data, (type, reply) => {
    if (type !== OptionReply.META_CONTEXT) throw unexpected(type, Option.SET_META_CONTEXT);
    const context = decodeMetaContext(reply);
    if (contexts.has(context.name) || ids.has(context.id)) {
      throw broken(`agrees twice to the meta context ${context.name} or its id`);
    }
    ids.add(context.id);
    contexts.set(context.name, context.id);
  });
  return refusal === undefined ? contexts : NOTHING_MORE.contexts;
}

type Described = Pick<
  Terms,
  'size' | 'flags' | 'blockSize' | 'blockSizeAdvertised' | 'canonicalName' | 'description'
>;

/**
 * `Option.GO`, which starts the transmission, or `Option.INFO`, which only tells.
 * @returns undefined if the server is too old for these options.
 */
export function* describe(voice: Voice, option: number, name: string): Dialogue<Described | undefined> {
  const infos = [InfoType.NAME, InfoType.DESCRIPTION, InfoType.BLOCK_SIZE];
  let size: bigint | undefined;
  let found = NOTHING_SAID;
  const refusal = yield* ask(voice, option, encodeInfoRequest({ name, infos }), (type, reply) => {
    if (type !== OptionReply.INFO) throw unexpected(type, option);
    const info = decodeInfo(reply);
    switch (info.kind) {
      case 'export':
        size = checkSize(info.size);
        found = { ...found, flags: checkFlags(info.flags) };
        break;
      case 'name':
        found = { ...found, canonicalName: info.name };
        break;
      case 'description':
        found = { ...found, description: info.description };
        break;
      case 'block-size':
        found = { ...found, blockSize: checkBlockSize(info), blockSizeAdvertised: true };
        break;
      case 'unknown':
    }
  });
  if (refusal?.type === OptionReply.ERR_UNSUP) return undefined;
  if (refusal !== undefined) throw refused(voice, option, refusal, name);
  if (size === undefined)
    throw broken(`agrees to ${optionName(option)} without saying the size of the export`);
  return { ...found, size };
}

/** The only option of old servers, which answer a name that they do not like by hanging up. */
export function* chooseByName(
  voice: Voice,
  name: string,
  noZeroes: boolean,
): Dialogue<Pick<Terms, 'size' | 'flags'>> {
  voice.say(encodeOption(Option.EXPORT_NAME, encodeString(name)));
  let reply;
  try {
    reply = decodeExportNameReply(yield EXPORT_NAME_REPLY_SIZE + (noZeroes ? 0 : EXPORT_NAME_REPLY_ZEROES));
  } catch (cause) {
    if (!isNbdError(cause) || cause.code !== 'ECONNRESET') throw cause;
    throw new NbdError(
      'ENOENT',
      `the server hangs up when asked for export ${JSON.stringify(name)}: it does not have it, or wants TLS`,
      { cause },
    );
  }
  return { size: checkSize(reply.size), flags: checkFlags(reply.flags) };
}

/** Says goodbye, as a client must that ends the handshake of its own will ("soft disconnect"). */
export function giveUp(voice: Voice, error: NbdError): NbdError {
  voice.say(encodeOption(Option.ABORT));
  return error;
}

/** The error for an option without which there is no going on. */
export function refused(voice: Voice, option: number, refusal: Refusal, exportName?: string): NbdError {
  const of = exportName === undefined ? '' : ` for export ${JSON.stringify(exportName)}`;
  const says = describeRefusal(refusal);
  const hint =
    refusal.type === OptionReply.ERR_TLS_REQD ? '; use an nbds: URI, or the option tls: "require"' : '';
  return giveUp(
    voice,
    new NbdError(
      REFUSAL_CODES.get(refusal.type) ?? 'EINVAL',
      `the server refuses ${optionName(option)}${of}: ${says}${hint}`,
    ),
  );
}

export function unexpected(type: number, option: number): NbdError {
  return broken(`sends a reply of type ${type} to option ${optionName(option)}`);
}

function noTls(reason: string): NbdError {
  return new NbdError('ENOTSUP', `TLS is required, and the server ${reason}`);
}

const REFUSAL_CODES = new Map<number, NbdErrorCode>([
  [OptionReply.ERR_UNSUP, 'ENOTSUP'],
  [OptionReply.ERR_POLICY, 'EACCES'],
  [OptionReply.ERR_PLATFORM, 'ENOTSUP'],
  [OptionReply.ERR_TLS_REQD, 'EACCES'],
  [OptionReply.ERR_UNKNOWN, 'ENOENT'],
  [OptionReply.ERR_SHUTDOWN, 'ESHUTDOWN'],
  [OptionReply.ERR_EXT_HEADER_REQD, 'ENOTSUP'],
]);

/** What is so where the server says nothing of an export. */
const NOTHING_SAID: Omit<Described, 'size'> = {
  flags: 0,
  blockSize: DEFAULT_BLOCK_SIZE,
  blockSizeAdvertised: false,
  canonicalName: undefined,
  description: undefined,
};

/** What is so where nothing was agreed on either. */
export const NOTHING_MORE: Omit<Terms, 'protocol' | 'tls' | 'exportName' | 'size'> = {
  ...NOTHING_SAID,
  structuredReplies: false,
  extendedHeaders: false,
  contexts: new Map(),
};
