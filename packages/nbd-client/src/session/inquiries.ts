import {
  Command,
  decodeMetaContext,
  decodeServer,
  encodeMetaContextRequest,
  encodeOption,
  encodeRequest,
  NbdError,
  Option,
  OptionReply,
  REQUEST_SIZE,
} from '@nbd/protocol';
import { ask, type Dialogue, type Voice } from './dialogue.js';
import {
  begin,
  chooseByName,
  chooseReplies,
  describe,
  NOTHING_MORE,
  refused,
  unexpected,
  type Wishes,
} from './handshake.js';
import type { Terms } from './terms.js';

/** One export, as a server lists it. */
export interface ListedExport {
  readonly name: string;
  /** One line for people, if the server says one. */
  readonly description?: string;
}

/** All that a server says of an export without serving it. */
export interface ExportDescription extends Omit<Terms, 'contexts'> {
  /** The meta contexts that it has. */
  readonly contexts: readonly string[];
}

/**
 * The exports of a server.
 * @throws NbdError EACCES if it does not tell; ENOTSUP if it is too old to be asked.
 */
export function* listExports(voice: Voice, wishes: Wishes): Dialogue<ListedExport[]> {
  const start = yield* begin(voice, wishes);
  if (start.protocol !== 'fixed-newstyle') {
    throw new NbdError('ENOTSUP', 'the server is too old to list its exports');
  }
  const exports: ListedExport[] = [];
  const refusal = yield* ask(voice, Option.LIST, undefined, (type, reply) => {
    if (type !== OptionReply.SERVER) throw unexpected(type, Option.LIST);
    exports.push(decodeServer(reply));
  });
  if (refusal !== undefined) throw refused(voice, Option.LIST, refusal);
  voice.say(encodeOption(Option.ABORT));
  return exports;
}

/**
 * What a server says of one export. Old servers are asked by starting to use it.
 * @throws NbdError as `open` does.
 */
export function* describeExport(voice: Voice, wishes: Wishes): Dialogue<ExportDescription> {
  const exportName = wishes.exportName ?? '';
  const start = yield* begin(voice, wishes);
  const common = { ...NOTHING_MORE, protocol: start.protocol, tls: voice.tls, exportName, contexts: [] };
  if (start.protocol === 'oldstyle') {
    disconnect(voice);
    return { ...common, size: start.size, flags: start.flags };
  }
  if (start.protocol === 'fixed-newstyle') {
    const replies = yield* chooseReplies(voice, wishes);
    const contexts = replies.structuredReplies ? yield* listContexts(voice, exportName) : [];
    const described = yield* describe(voice, Option.INFO, exportName);
    if (described !== undefined) {
      voice.say(encodeOption(Option.ABORT));
      return { ...common, ...replies, contexts, ...described };
    }
  }
  const chosen = yield* chooseByName(voice, exportName, start.noZeroes);
  disconnect(voice);
  return { ...common, ...chosen };
}

function* listContexts(voice: Voice, name: string): Dialogue<string[]> {
  const contexts: string[] = [];
  const data = encodeMetaContextRequest({ name, queries: [] });
  const refusal = yield* ask(voice, Option.LIST_META_CONTEXT, data, (type, reply) => {
    if (type !== OptionReply.META_CONTEXT) throw unexpected(type, Option.LIST_META_CONTEXT);
    contexts.push(decodeMetaContext(reply).name);
  });
  // "If an error is returned, the client MUST disregard any context replies that may have been sent."
  return refusal === undefined ? contexts : [];
}

function disconnect(voice: Voice): void {
  const request = new Uint8Array(REQUEST_SIZE);
  encodeRequest(request, 0, { command: Command.DISC, flags: 0, cookie: 0n, offset: 0n, length: 0n });
  voice.say(request);
}
