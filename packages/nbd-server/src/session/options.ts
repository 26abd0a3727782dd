import {
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeString,
  encodeExportNameReply,
  encodeInfo,
  encodeMetaContext,
  encodeOptionReply,
  encodeServer,
  InfoType,
  Option,
  OptionReply,
  TransmissionFlag,
  type Info,
  type TlsIdentity,
} from '@nbd/protocol';
import type { Connection } from '@nbd/plugin';
import { HardDisconnect } from './disconnect.js';
import type { HandshakeHost } from './handshake.js';
import { listContexts, selectContexts, type SelectedContext } from './meta-contexts.js';
import { OptionRefusal } from './option-refusal.js';
import { describe } from './printable.js';
import type { ServedExport } from './served-export.js';

/** What the client flags said. */
export interface ClientStyle {
  readonly isFixed: boolean;
  /** No 124 zeroes after the reply to EXPORT_NAME. */
  readonly noZeroes: boolean;
}

/** State that STARTTLS forgets. Protocol document, `NBD_OPT_STARTTLS`. */
interface Negotiated {
  structuredReplies: boolean;
  extendedHeaders: boolean;
  /** Of the last SET_META_CONTEXT: they hold for that export name only. */
  contexts: { readonly exportName: string; readonly selected: readonly SelectedContext[] } | undefined;
}

const NOTHING: Negotiated = { structuredReplies: false, extendedHeaders: false, contexts: undefined };

/** Answers the options of one handshake, and remembers what they agreed on. Protocol document, "Option types". */
export class Options {
  readonly #host: HandshakeHost;
  readonly #style: ClientStyle;
  #negotiated: Negotiated = { ...NOTHING };
  #identity: TlsIdentity | undefined;
  /** The export that the last options were about: INFO and GO must agree, and a plugin is not opened twice. */
  #candidate: ServedExport | undefined;
  #isOver = false;

  constructor(host: HandshakeHost, style: ClientStyle) {
    this.#host = host;
    this.#style = style;
  }

  /** No option follows: the client left, or transmission began. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Sends the replies to one option.
   * @param hasMore bytes follow that have arrived already
   * @throws OptionRefusal (or rejects with it), HardDisconnect, or what the plugin throws
   */
  answer(option: number, data: Uint8Array, hasMore: boolean): Promise<void> | undefined {
    if (option === Option.ABORT) {
      this.#ack(option);
      this.#isOver = true;
      this.#host.end();
      return undefined;
    }
    this.#checkAllowed(option);
    const { lesser } = this.#host;
    switch (option) {
      case Option.EXPORT_NAME:
        return this.#exportName(data);
      case Option.LIST:
        checkNoData(data);
        return this.#list();
      case Option.STARTTLS:
        return this.#startTls(data, hasMore);
      case Option.INFO:
      case Option.GO:
        return this.#infoOrGo(option, data);
      case Option.STRUCTURED_REPLY:
        if (lesser.noStructuredReplies) break;
        this.#structuredReply(data);
        return undefined;
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        if (lesser.noMetaContexts || lesser.noStructuredReplies) break;
        return this.#metaContext(option, data);
      case Option.EXTENDED_HEADERS:
        if (lesser.noExtendedHeaders || lesser.noStructuredReplies) break;
        this.#extendedHeaders(data);
        return undefined;
    }
    throw new OptionRefusal(OptionReply.ERR_UNSUP, 'this server does not know the option');
  }

  /** The client left. What is being opened meanwhile is closed as well. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.#closeCandidate();
  }

  #checkAllowed(option: number): void {
    if (this.#host.shuttingDown) throw new OptionRefusal(OptionReply.ERR_SHUTDOWN, 'the server is ending');
    if (this.#host.tls !== 'require' || this.#identity || option === Option.STARTTLS) return;
    // "The server MUST operate in NOTLS mode unless" both speak fixed newstyle: such a client has no way to TLS.
    if (!this.#style.isFixed) throw new HardDisconnect('TLS is required, and the client can not be told so');
    throw new OptionRefusal(OptionReply.ERR_TLS_REQD, 'this server serves over TLS only');
  }

  async #exportName(data: Uint8Array): Promise<void> {
    // "A client that has used NBD_OPT_EXTENDED_HEADERS to negotiate extended headers MUST NOT use this option."
    if (this.#negotiated.extendedHeaders) throw new HardDisconnect('EXPORT_NAME after EXTENDED_HEADERS');
    const opened = await this.#open(decodeString(data));
    const flags = this.#flags(opened);
    this.#host.send(encodeExportNameReply({ size: opened.device.size, flags }, !this.#style.noZeroes));
    this.#begin(opened, flags, false);
  }

  async #list(): Promise<void> {
    let unlisted: unknown;
    for (const { name, description } of await this.#host.exports.list(this.#connection)) {
      try {
        const server = encodeServer({ name, ...(description !== undefined && { description }) });
        this.#host.send(encodeOptionReply(Option.LIST, OptionReply.SERVER, server));
      } catch (error) {
        unlisted ??= error;
      }
      const drained = this.#host.drained();
      if (drained) await drained;
      this.#checkClient();
    }
    if (unlisted !== undefined) {
      this.#host.log.warn(`an export, or several, can't be listed: ${describe(unlisted)}`);
    }
    this.#ack(Option.LIST);
  }

  async #startTls(data: Uint8Array, hasMore: boolean): Promise<void> {
    const { tls, upgradeTls } = this.#host;
    if (this.#identity) throw new OptionRefusal(OptionReply.ERR_INVALID, 'TLS is running already');
    if (tls === 'off' || !this.#style.isFixed) throw new OptionRefusal(OptionReply.ERR_POLICY, 'no TLS here');
    if (!upgradeTls) throw new OptionRefusal(OptionReply.ERR_PLATFORM, 'this connection can not do TLS');
    checkNoData(data);
    // What follows in plain text could have been put there by anyone, to be taken for the client's later.
    if (hasMore) throw new HardDisconnect('plain text after STARTTLS');
    this.#ack(Option.STARTTLS);
    this.#negotiated = { ...NOTHING };
    await this.#closeCandidate();
    // What was sent in plain text leaves before TLS has the connection.
    await this.#host.drained(0);
    try {
      this.#identity = await upgradeTls();
    } catch (error) {
      throw new HardDisconnect(`the TLS handshake failed: ${describe(error)}`);
    }
  }

  async #infoOrGo(option: number, data: Uint8Array): Promise<void> {
    const { name, infos } = decodeInfoRequest(data);
    const opened = await this.#open(name);
    const flags = this.#flags(opened);
    const blockSizeKnown = infos.includes(InfoType.BLOCK_SIZE);
    this.#info(option, { kind: 'export', size: opened.device.size, flags });
    if (infos.includes(InfoType.NAME)) this.#info(option, { kind: 'name', name: opened.canonicalName });
    if (infos.includes(InfoType.DESCRIPTION) && opened.description !== undefined) {
      this.#info(option, { kind: 'description', description: opened.description });
    }
    if (blockSizeKnown) this.#info(option, { kind: 'block-size', ...opened.blockSize });
    this.#ack(option);
    if (option === Option.GO) this.#begin(opened, flags, blockSizeKnown);
  }

  #structuredReply(data: Uint8Array): void {
    checkNoData(data);
    if (this.#negotiated.extendedHeaders) {
      throw new OptionRefusal(
        OptionReply.ERR_EXT_HEADER_REQD,
        'extended headers were agreed on, which include them',
      );
    }
    this.#negotiated.structuredReplies = true;
    this.#ack(Option.STRUCTURED_REPLY);
  }

  #extendedHeaders(data: Uint8Array): void {
    checkNoData(data);
    this.#negotiated.structuredReplies = true;
    this.#negotiated.extendedHeaders = true;
    this.#ack(Option.EXTENDED_HEADERS);
  }

  async #metaContext(option: number, data: Uint8Array): Promise<void> {
    const isSetting = option === Option.SET_META_CONTEXT;
    // "Issuing this command replaces all previously-set metadata contexts (including when this command fails)."
    if (isSetting) this.#negotiated.contexts = undefined;
    if (!this.#negotiated.structuredReplies) {
      throw new OptionRefusal(OptionReply.ERR_INVALID, 'structured replies have to be agreed on first');
    }
    const { name, queries } = decodeMetaContextRequest(data);
    const opened = await this.#open(name);
    const found = (isSetting ? selectContexts : listContexts)(opened.contexts, queries);
    for (const context of found) {
      this.#host.send(encodeOptionReply(option, OptionReply.META_CONTEXT, encodeMetaContext(context)));
    }
    if (isSetting) this.#negotiated.contexts = { exportName: name, selected: found };
    this.#ack(option);
  }

  get #connection(): Connection {
    const { peer, exports } = this.#host;
    return {
      readOnly: exports.readOnly,
      ...(this.#identity && { tls: this.#identity }),
      ...(peer !== undefined && { peer }),
    };
  }

  /** Opens an export, unless it is the one that was opened last. */
  async #open(name: string): Promise<ServedExport> {
    if (this.#candidate?.name === name) return this.#candidate;
    await this.#closeCandidate();
    this.#checkClient();
    const opened = await this.#host.exports.open(name, this.#connection, this.#host.limits.payload);
    if (this.#isOver) await this.#host.close(opened);
    this.#checkClient();
    this.#candidate = opened;
    return opened;
  }

  async #closeCandidate(): Promise<void> {
    const candidate = this.#candidate;
    this.#candidate = undefined;
    if (candidate) await this.#host.close(candidate);
  }

  /** @throws HardDisconnect if the client has left while its answer was made */
  #checkClient(): void {
    if (this.#isOver) throw new HardDisconnect('the client left');
  }

  #flags(opened: ServedExport): number {
    const { structuredReplies, extendedHeaders } = this.#negotiated;
    let { flags } = opened;
    if (structuredReplies) flags |= TransmissionFlag.SEND_DF;
    if (extendedHeaders && this.#selected(opened).length > 0) flags |= TransmissionFlag.BLOCK_STATUS_PAYLOAD;
    return flags;
  }

  /** The contexts that were selected for this export's name. */
  #selected({ name }: ServedExport): readonly SelectedContext[] {
    const { contexts } = this.#negotiated;
    return contexts?.exportName === name ? contexts.selected : [];
  }

  #begin(opened: ServedExport, flags: number, blockSizeKnown: boolean): void {
    this.#checkClient();
    this.#isOver = true;
    this.#candidate = undefined;
    const { structuredReplies, extendedHeaders } = this.#negotiated;
    const contexts = this.#selected(opened);
    this.#host.begin({ export: opened, flags, structuredReplies, extendedHeaders, contexts, blockSizeKnown });
  }

  #info(option: number, info: Info): void {
    this.#host.send(encodeOptionReply(option, OptionReply.INFO, encodeInfo(info)));
  }

  #ack(option: number): void {
    this.#host.send(encodeOptionReply(option, OptionReply.ACK));
  }
}

function checkNoData(data: Uint8Array): void {
  if (data.length > 0) throw new OptionRefusal(OptionReply.ERR_INVALID, 'this option has no data');
}
