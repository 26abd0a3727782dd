import {
  Command,
  decodeClientFlags,
  decodeExtendedRequest,
  decodeMetaContextRequest,
  decodeInfoRequest,
  decodeOptionHeader,
  decodeRequest,
  encodeErrorChunk,
  encodeExtendedReply,
  encodeGreeting,
  encodeInfo,
  encodeMessage,
  encodeMetaContext,
  encodeOffsetDataPrefix,
  encodeOptionReply,
  encodeServer,
  encodeSimpleReply,
  encodeStructuredReply,
  EXTENDED_REPLY_SIZE,
  EXTENDED_REQUEST_SIZE,
  HandshakeFlag,
  Option,
  OPTION_HEADER_SIZE,
  OptionReply,
  ReplyFlag,
  ReplyType,
  REQUEST_SIZE,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
  TransmissionFlag,
  type BlockSize,
  type ByteSink,
  type ByteTransport,
  type Request,
  type Server,
  type TlsIdentity,
} from '@nbd/protocol';
import { connectInMemory } from '@nbd/transport/memory';
import type { Dial } from '../src/session/index.js';

/** A server that says what the test tells it to, byte by byte, right or wrong. */
export class ScriptedServer implements ByteSink {
  readonly #transport: ByteTransport;
  readonly #buffer = new Uint8Array(64 << 10);
  #arrived = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #ended = false;
  /** Settles when the client has closed the connection. */
  readonly closed: Promise<void>;
  #resolveClosed!: () => void;
  extended = false;
  structured = false;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#transport.write(parts, () => undefined);
  }

  end(): void {
    this.#transport.end();
  }

  /** Turns the connection into TLS, where its transport can. */
  startTls(): Promise<TlsIdentity> {
    return this.#transport.upgradeTls!();
  }

  /** @throws Error if the client closes the connection first. */
  async receive(length: number): Promise<Buffer> {
    while (this.#arrived.length < length) {
      if (this.#ended) throw new ClientGone();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const bytes = this.#arrived.subarray(0, length);
    this.#arrived = this.#arrived.subarray(length);
    return bytes;
  }

  /** Greets, and gives the client's flags. */
  async greet(flags: number = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES): Promise<number> {
    this.send(encodeGreeting({ style: 'newstyle', flags }));
    return decodeClientFlags(await this.receive(4));
  }

  async option(): Promise<{ option: number; data: Buffer }> {
    const { option, length } = decodeOptionHeader(await this.receive(OPTION_HEADER_SIZE));
    return { option, data: await this.receive(length) };
  }

  reply(option: number, type: number, data?: Uint8Array): void {
    this.send(encodeOptionReply(option, type, data));
  }

  refuse(option: number, type: number, message: string): void {
    this.reply(option, type, encodeMessage(message));
  }

  /** A whole handshake, up to the start of the transmission. */
  async handshake(served: Served = {}): Promise<void> {
    const { size = 1n << 20n, structured = true, extended = false, contexts = ['base:allocation'] } = served;
    await this.greet();
    for (;;) {
      const { option, data } = await this.option();
      const agree = (yes: boolean) => {
        this.reply(option, yes ? OptionReply.ACK : OptionReply.ERR_UNSUP);
        return yes;
      };
      if (option === Option.EXTENDED_HEADERS) this.extended = agree(extended);
      else if (option === Option.STRUCTURED_REPLY) this.structured = agree(structured);
      else if (option === Option.SET_META_CONTEXT || option === Option.LIST_META_CONTEXT) {
        const { queries } = decodeMetaContextRequest(data);
        for (const [id, name] of contexts.entries()) {
          if (queries.length > 0 && !queries.includes(name)) continue;
          this.reply(option, OptionReply.META_CONTEXT, encodeMetaContext({ id: id + 7, name }));
        }
        agree(true);
      } else if (option === Option.LIST) {
        for (const listed of served.exports ?? [])
          this.reply(option, OptionReply.SERVER, encodeServer(listed));
        agree(true);
      } else if (option === Option.GO || option === Option.INFO) {
        decodeInfoRequest(data);
        const flags = served.flags ?? ALL_FLAGS;
        this.reply(option, OptionReply.INFO, encodeInfo({ kind: 'export', size, flags }));
        if (served.blockSize) {
          this.reply(option, OptionReply.INFO, encodeInfo({ kind: 'block-size', ...served.blockSize }));
        }
        agree(true);
        if (option === Option.GO) return;
      } else agree(option === Option.ABORT);
    }
  }

  /** The next request, with its payload if it is a write. */
  async request(): Promise<Request & { payload: Buffer }> {
    const request = this.extended
      ? decodeExtendedRequest(await this.receive(EXTENDED_REQUEST_SIZE))
      : decodeRequest(await this.receive(REQUEST_SIZE));
    const length = request.command === Command.WRITE ? Number(request.length) : 0;
    return { ...request, payload: await this.receive(length) };
  }

  simpleReply(cookie: bigint, error = 0, ...data: Uint8Array[]): void {
    const header = new Uint8Array(SIMPLE_REPLY_SIZE);
    encodeSimpleReply(header, 0, error, cookie);
    this.send(header, ...data);
  }

  /** One chunk of a structured or extended reply, the last one unless `flags` says otherwise. */
  chunk(
    { cookie, offset }: { cookie: bigint; offset: bigint },
    type: number,
    payload: Uint8Array = new Uint8Array(0),
    flags: number = ReplyFlag.DONE,
    length = payload.length,
  ): void {
    const header = new Uint8Array(this.extended ? EXTENDED_REPLY_SIZE : STRUCTURED_REPLY_SIZE);
    if (this.extended) encodeExtendedReply(header, 0, flags, type, cookie, offset, length);
    else encodeStructuredReply(header, 0, flags, type, cookie, length);
    this.send(header, payload);
  }

  /** A chunk with data for `offset` on. */
  data(
    request: { cookie: bigint; offset: bigint },
    offset: bigint,
    data: Uint8Array,
    flags: number = ReplyFlag.DONE,
  ): void {
    const payload = new Uint8Array(8 + data.length);
    encodeOffsetDataPrefix(payload, 0, offset);
    payload.set(data, 8);
    this.chunk(request, ReplyType.OFFSET_DATA, payload, flags);
  }

  error(request: Request, error: number, message = ''): void {
    this.chunk(request, ReplyType.ERROR, encodeErrorChunk({ error, message }));
  }

  nextBuffer(): Uint8Array {
    return this.#buffer;
  }

  received(count: number): boolean {
    this.#arrived = Buffer.concat([this.#arrived, this.#buffer.subarray(0, count)]);
    this.#wake?.();
    return true;
  }

  ended(): void {
    this.#ended = true;
    this.#transport.destroy();
    this.#wake?.();
    this.#resolveClosed();
  }
}

/** What a scripted server serves. */
export interface Served {
  readonly size?: bigint;
  readonly flags?: number;
  readonly structured?: boolean;
  readonly extended?: boolean;
  readonly contexts?: readonly string[];
  readonly blockSize?: BlockSize;
  readonly exports?: readonly Server[];
}

export const ALL_FLAGS =
  TransmissionFlag.HAS_FLAGS |
  TransmissionFlag.SEND_FLUSH |
  TransmissionFlag.SEND_FUA |
  TransmissionFlag.SEND_TRIM |
  TransmissionFlag.SEND_WRITE_ZEROES |
  TransmissionFlag.SEND_DF |
  TransmissionFlag.CAN_MULTI_CONN |
  TransmissionFlag.SEND_CACHE |
  TransmissionFlag.SEND_FAST_ZERO;

/** The client has closed the connection while the script waited for more. */
export class ClientGone extends Error {}

/** Connects to a script, which is run once for each connection. What it throws appears in `failures`. */
export function scripted(script: (server: ScriptedServer, connection: number) => Promise<void>): {
  dial: Dial;
  failures: unknown[];
  servers: ScriptedServer[];
} {
  const failures: unknown[] = [];
  const servers: ScriptedServer[] = [];
  return {
    failures,
    servers,
    dial: (attach) => {
      connectInMemory(attach, (transport) => {
        const server = new ScriptedServer(transport);
        servers.push(server);
        script(server, servers.length).catch((error: unknown) => {
          if (!(error instanceof ClientGone)) failures.push(error);
          transport.destroy();
        });
        return server;
      });
    },
  };
}
