import {
  ClientFlag,
  decodeOptionReplyHeader,
  encodeClientFlags,
  encodeExtendedRequest,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  encodeRequest,
  EXTENDED_REPLY_SIZE,
  EXTENDED_REQUEST_SIZE,
  decodeExtendedReply,
  decodeSimpleReply,
  decodeStructuredReply,
  GREETING_SIZE,
  Option,
  OPTION_REPLY_HEADER_SIZE,
  OptionReply,
  REQUEST_SIZE,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
  type ByteSink,
  type ByteTransport,
} from '@nbd/protocol';

/** A reply chunk of either kind, whole. */
export interface Chunk {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: bigint | undefined;
  readonly payload: Uint8Array;
}

export interface RawRequest {
  readonly command: number;
  readonly flags?: number;
  readonly cookie?: bigint;
  readonly offset?: bigint;
  readonly length?: bigint;
  readonly payload?: Uint8Array;
}

/** A client that says whatever a test wants to say, and reads what comes, byte by byte. */
export class RawClient implements ByteSink {
  readonly #transport: ByteTransport;
  readonly #buffer = new Uint8Array(64 << 10);
  /** What has come and was not read is `#received[#start]` to `#received[#end - 1]`. */
  #received = new Uint8Array(64 << 10);
  #start = 0;
  #end = 0;
  #waiting: (() => void)[] = [];
  #isEnded = false;
  /** While set, nothing is received. */
  deaf = false;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  nextBuffer(): Uint8Array {
    return this.#buffer;
  }

  received(count: number): boolean {
    if (this.#end + count > this.#received.length) {
      const larger = new Uint8Array(2 * (this.unread + count));
      larger.set(this.#received.subarray(this.#start, this.#end));
      this.#end -= this.#start;
      this.#start = 0;
      this.#received = larger;
    }
    this.#received.set(this.#buffer.subarray(0, count), this.#end);
    this.#end += count;
    this.#wake();
    return !this.deaf;
  }

  ended(): void {
    this.#isEnded = true;
    this.#wake();
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Bytes that have come and were not read. */
  get unread(): number {
    return this.#end - this.#start;
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#transport.write(
      parts.filter((part) => part.length > 0).map((part) => part.slice()),
      () => undefined,
    );
  }

  hear(): void {
    this.deaf = false;
    this.#transport.resume();
  }

  hangUp(): void {
    this.#transport.destroy();
  }

  /** The next `count` bytes. */
  async read(count: number): Promise<Uint8Array> {
    while (this.unread < count) {
      if (this.#isEnded) throw new Error(`the server ended, ${this.unread} of ${count} bytes came`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#start += count;
    return this.#received.slice(this.#start - count, this.#start);
  }

  /** Settles when the server has closed the connection. */
  async end(): Promise<void> {
    while (!this.#isEnded) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Reads the greeting and answers it. */
  async greet(flags: number = ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES): Promise<Uint8Array> {
    const greeting = await this.read(GREETING_SIZE);
    this.send(encodeClientFlags(flags));
    return greeting;
  }

  /** Sends an option and collects its replies: all but the last are INFO, SERVER or META_CONTEXT. */
  async option(
    option: number,
    data: Uint8Array = new Uint8Array(0),
  ): Promise<{ type: number; data: Uint8Array }[]> {
    this.send(encodeOption(option, data));
    return this.optionReplies();
  }

  async optionReplies(): Promise<{ type: number; data: Uint8Array }[]> {
    const replies: { type: number; data: Uint8Array }[] = [];
    for (;;) {
      const { type, length } = decodeOptionReplyHeader(await this.read(OPTION_REPLY_HEADER_SIZE));
      replies.push({ type, data: await this.read(length) });
      const goesOn: number[] = [OptionReply.INFO, OptionReply.SERVER, OptionReply.META_CONTEXT];
      if (!goesOn.includes(type)) return replies;
    }
  }

  /** The type of the last reply to an option. */
  async outcome(option: number, data?: Uint8Array): Promise<number> {
    return (await this.option(option, data)).at(-1)!.type;
  }

  info(
    option: number,
    name = '',
    infos: readonly number[] = [],
  ): Promise<{ type: number; data: Uint8Array }[]> {
    return this.option(option, encodeInfoRequest({ name, infos }));
  }

  /** From the greeting to transmission. */
  async go(
    settings: {
      structured?: boolean;
      extended?: boolean;
      name?: string;
      infos?: readonly number[];
      contexts?: readonly string[];
    } = {},
  ): Promise<void> {
    const { name = '', infos = [], contexts = [] } = settings;
    await this.greet();
    if (settings.structured) await this.option(Option.STRUCTURED_REPLY);
    if (settings.extended) await this.option(Option.EXTENDED_HEADERS);
    if (contexts.length > 0) {
      await this.option(Option.SET_META_CONTEXT, encodeMetaContextRequest({ name, queries: contexts }));
    }
    const replies = await this.info(Option.GO, name, infos);
    const last = replies.at(-1)!;
    if (last.type !== OptionReply.ACK)
      throw new Error(`GO was refused: ${new TextDecoder().decode(last.data)}`);
  }

  request(request: RawRequest): void {
    this.send(encodeCompact(request), request.payload ?? new Uint8Array(0));
  }

  extendedRequest(request: RawRequest): void {
    this.send(encodeExtended(request), request.payload ?? new Uint8Array(0));
  }

  async simpleReply(payload = 0): Promise<{ error: number; cookie: bigint; payload: Uint8Array }> {
    const { error, cookie } = decodeSimpleReply(await this.read(SIMPLE_REPLY_SIZE));
    return { error, cookie, payload: error === 0 ? await this.read(payload) : new Uint8Array(0) };
  }

  async chunk(): Promise<Chunk> {
    const { flags, type, cookie, length } = decodeStructuredReply(await this.read(STRUCTURED_REPLY_SIZE));
    return { flags, type, cookie, offset: undefined, payload: await this.read(length) };
  }

  async extendedChunk(): Promise<Chunk> {
    const { flags, type, cookie, offset, length } = decodeExtendedReply(await this.read(EXTENDED_REPLY_SIZE));
    return { flags, type, cookie, offset, payload: await this.read(length) };
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

export function encodeCompact({
  command,
  flags = 0,
  cookie = 1n,
  offset = 0n,
  length = 0n,
}: RawRequest): Uint8Array {
  const bytes = new Uint8Array(REQUEST_SIZE);
  encodeRequest(bytes, 0, { command, flags, cookie, offset, length });
  return bytes;
}

export function encodeExtended({
  command,
  flags = 0,
  cookie = 1n,
  offset = 0n,
  length = 0n,
}: RawRequest): Uint8Array {
  const bytes = new Uint8Array(EXTENDED_REQUEST_SIZE);
  encodeExtendedRequest(bytes, 0, { command, flags, cookie, offset, length });
  return bytes;
}
