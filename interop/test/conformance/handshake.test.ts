import {
  ClientFlag,
  Command,
  decodeExportNameReply,
  decodeGreeting,
  decodeInfo,
  decodeMetaContext,
  decodeOptionHeader,
  decodeServer,
  encodeClientFlags,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  encodeString,
  EXPORT_NAME_REPLY_SIZE,
  EXPORT_NAME_REPLY_ZEROES,
  HandshakeFlag,
  InfoType,
  Magic,
  Option,
  OptionReply,
  TransmissionFlag,
  type Info,
} from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { connectRaw, serve, type RawClient } from '../../harness/index.js';
import { useOddServer } from './odd-server.js';

const odd = useOddServer();

async function greeted(flags?: number): Promise<RawClient> {
  const client = await odd.connect();
  await client.greet(flags);
  return client;
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const infosOf = (replies: { type: number; data: Uint8Array }[]): Info[] =>
  replies.filter(({ type }) => type === OptionReply.INFO).map(({ data }) => decodeInfo(data));
const contextsOf = (replies: { type: number; data: Uint8Array }[]) =>
  replies.filter(({ type }) => type === OptionReply.META_CONTEXT).map(({ data }) => decodeMetaContext(data));
const metaContexts = (name: string, ...queries: string[]) => encodeMetaContextRequest({ name, queries });

describe('"Newstyle negotiation"', () => {
  test('the greeting offers fixed newstyle and no zeroes, and nothing else', async () => {
    const client = await odd.connect();
    expect(decodeGreeting(await client.greet())).toEqual({
      style: 'newstyle',
      flags: HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES,
    });
  });

  test.each([0x4, 0x8000_0000])(
    'client flag 0x%s, which is not known, closes the connection',
    async (flag) => {
      const client = await greeted(ClientFlag.FIXED_NEWSTYLE | flag);
      await client.end();
    },
  );

  test('a client flag that was not offered closes the connection', async () => {
    await using server = await serve(['plugin-memory', '1M', '--mask-handshake', '1']);
    using connection = await connectRaw(server);
    await connection.client.greet(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES);
    await connection.client.end();
  });

  test.each([
    ['124 zeroes', ClientFlag.FIXED_NEWSTYLE, EXPORT_NAME_REPLY_ZEROES],
    ['none, where both agreed so', ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES, 0],
    ['124 zeroes for a client that does not speak fixed newstyle', 0, EXPORT_NAME_REPLY_ZEROES],
  ])('EXPORT_NAME is answered with size, flags and %s', async (_what, flags, zeroes) => {
    const client = await greeted(flags);
    client.send(encodeOption(Option.EXPORT_NAME));
    const reply = await client.read(EXPORT_NAME_REPLY_SIZE + zeroes);
    expect(decodeExportNameReply(reply).size).toBe(1n << 20n);
    expect(reply.subarray(EXPORT_NAME_REPLY_SIZE).every((byte) => byte === 0)).toBe(true);
    client.request({ command: Command.READ, cookie: 0xffff_ffff_ffff_ffffn, length: 512n });
    expect(await client.simpleReply(512)).toMatchObject({ error: 0, cookie: 0xffff_ffff_ffff_ffffn });
  });

  test.each([
    ['an export that does not exist', utf8('nosuch')],
    ['an export that does not open', utf8('refused')],
    ['a name that is not UTF-8', Uint8Array.of(0xff)],
    ['a name with a NUL', Uint8Array.of(0x61, 0)],
    ['a name of 4097 bytes', new Uint8Array(4097).fill(0x61)],
    ['a name longer than any option', new Uint8Array(100_000).fill(0x61)],
  ])('EXPORT_NAME with %s ends the session, and the server goes on', async (_what, name) => {
    const client = await greeted();
    client.send(encodeOption(Option.EXPORT_NAME, name));
    await client.end();
    expect(await (await greeted()).outcome(Option.LIST)).toBe(OptionReply.ACK);
  });
});

describe('"Fixed newstyle negotiation"', () => {
  test.each([0, Option.PEEK_EXPORT, 12, 0xffff_ffff])(
    'option %s, which is not known, gets ERR_UNSUP',
    async (option) => {
      const client = await greeted();
      expect(await client.outcome(option, utf8('whatever it means'))).toBe(OptionReply.ERR_UNSUP);
      expect(await client.outcome(Option.LIST)).toBe(OptionReply.ACK);
    },
  );

  test('an option with a wrong magic closes the connection', async () => {
    const client = await greeted();
    const bytes = encodeOption(Option.LIST);
    bytes[0] = 0;
    expect(() => decodeOptionHeader(bytes)).toThrow();
    expect(decodeOptionHeader(encodeOption(Option.LIST)).option).toBe(Option.LIST);
    expect(Magic.IHAVEOPT).toBe(0x49484156454f5054n);
    client.send(bytes);
    await client.end();
  });

  test('options that come in one piece, or byte by byte, are answered in their order', async () => {
    const client = await odd.connect();
    const all = [
      encodeClientFlags(ClientFlag.FIXED_NEWSTYLE),
      encodeOption(99),
      encodeOption(Option.STRUCTURED_REPLY),
      encodeOption(Option.INFO, encodeInfoRequest({ name: 'nosuch', infos: [] })),
      encodeOption(Option.LIST),
    ].flatMap((part) => [...part]);
    await client.read(18);
    client.send(Uint8Array.from(all));
    const types = async () => (await client.optionReplies()).at(-1)!.type;
    expect([await types(), await types(), await types(), await types()]).toEqual([
      OptionReply.ERR_UNSUP,
      OptionReply.ACK,
      OptionReply.ERR_UNKNOWN,
      OptionReply.ACK,
    ]);
    for (const byte of encodeOption(Option.STRUCTURED_REPLY)) {
      client.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await types()).toBe(OptionReply.ACK);
  });

  test('ABORT is acknowledged, with data too, and ends the connection', async () => {
    const client = await greeted();
    expect(await client.outcome(Option.ABORT, utf8('bye'))).toBe(OptionReply.ACK);
    await client.end();
  });

  test('an option that is too long is skipped and told so; one without measure ends the connection', async () => {
    const client = await greeted();
    expect(await client.outcome(Option.INFO, new Uint8Array(100_000))).toBe(OptionReply.ERR_TOO_BIG);
    expect(await client.outcome(Option.LIST)).toBe(OptionReply.ACK);
    client.send(encodeOption(Option.INFO).fill(0xff, 12, 16));
    await client.end();
  });
});

describe('LIST', () => {
  test('names each export and describes it', async () => {
    const replies = await (await greeted()).option(Option.LIST);
    const servers = replies
      .filter(({ type }) => type === OptionReply.SERVER)
      .map(({ data }) => decodeServer(data));
    expect(servers).toContainEqual({ name: 'blocks', description: 'blocks of 4096 bytes' });
    expect(servers).toContainEqual({ name: '', description: 'the default one' });
    expect(replies.at(-1)!.type).toBe(OptionReply.ACK);
  });

  test.each([Option.LIST, Option.STRUCTURED_REPLY, Option.EXTENDED_HEADERS])(
    'option %s with data gets ERR_INVALID',
    async (option) => {
      expect(await (await greeted()).outcome(option, utf8('x'))).toBe(OptionReply.ERR_INVALID);
    },
  );
});

describe('INFO and GO', () => {
  test.each([Option.INFO, Option.GO])(
    'option %s tells size and flags even if nothing was asked for',
    async (option) => {
      const replies = await (await greeted()).info(option);
      expect(infosOf(replies)).toEqual([expect.objectContaining({ kind: 'export', size: 1n << 20n })]);
      expect(replies.at(-1)).toMatchObject({ type: OptionReply.ACK });
      expect(replies.at(-1)!.data).toHaveLength(0);
    },
  );

  test('name, description and block sizes are told to those who ask; what is unknown is ignored', async () => {
    const wanted = [InfoType.NAME, InfoType.DESCRIPTION, InfoType.BLOCK_SIZE, 0x7777];
    const infos = infosOf(await (await greeted()).info(Option.INFO, 'blocks', wanted));
    expect(infos).toContainEqual({ kind: 'name', name: 'blocks' });
    expect(infos).toContainEqual({ kind: 'description', description: 'blocks of 4096 bytes' });
    expect(infos).toContainEqual({ kind: 'block-size', minimum: 4096, preferred: 65_536, maximum: 1 << 20 });
    expect(infos).toHaveLength(4);
  });

  test('GO after INFO says the same', async () => {
    const client = await greeted();
    const infos = [InfoType.BLOCK_SIZE, InfoType.NAME];
    const first = await client.info(Option.INFO, 'blocks', infos);
    expect(await client.info(Option.GO, 'blocks', infos)).toEqual(first);
  });

  test('an export that does not exist, or open, gets ERR_UNKNOWN and no info', async () => {
    const client = await greeted();
    for (const name of ['nosuch', 'refused']) {
      const replies = await client.info(Option.GO, name);
      expect(replies.map(({ type }) => type)).toEqual([OptionReply.ERR_UNKNOWN]);
    }
    expect((await client.info(Option.GO)).at(-1)!.type).toBe(OptionReply.ACK);
  });

  test.each([
    ['no data', new Uint8Array(0)],
    ['a name longer than the data', Uint8Array.of(0, 0, 0, 200, 0x61, 0, 0)],
    ['a name length that overflows', Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0)],
    ['fewer infos than announced', Uint8Array.of(0, 0, 0, 0, 0, 5, 0, 1)],
    ['bytes left over', Uint8Array.of(0, 0, 0, 0, 0, 0, 9)],
    ['a name that is not UTF-8', Uint8Array.of(0, 0, 0, 1, 0xff, 0, 0)],
    ['a name of 4097 bytes', Uint8Array.from([0, 0, 0x10, 1, ...new Uint8Array(4097).fill(0x61), 0, 0])],
  ])('with %s they get ERR_INVALID', async (_what, data) => {
    const client = await greeted();
    expect(await client.outcome(Option.INFO, data)).toBe(OptionReply.ERR_INVALID);
    expect(await client.outcome(Option.GO, data)).toBe(OptionReply.ERR_INVALID);
    expect(await client.outcome(Option.LIST)).toBe(OptionReply.ACK);
  });

  test('no zeroes follow GO, whatever was agreed', async () => {
    const client = await greeted(ClientFlag.FIXED_NEWSTYLE);
    await client.info(Option.GO);
    client.request({ command: Command.READ, cookie: 3n, length: 1n });
    expect(await client.simpleReply(1)).toMatchObject({ cookie: 3n });
  });
});

describe('"Transmission flags"', () => {
  const flagsOf = async (client: RawClient, name = '') => {
    const [info] = infosOf(await client.info(Option.INFO, name));
    return info?.kind === 'export' ? info.flags : 0;
  };

  test('say what the export can do', async () => {
    const client = await greeted();
    const flags = await flagsOf(client);
    expect(flags & TransmissionFlag.HAS_FLAGS).not.toBe(0);
    // A device with read and write only: zeroes are written for it, nothing stands in for a flush.
    expect(flags & ~TransmissionFlag.HAS_FLAGS).toBe(
      TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO,
    );
    expect((await flagsOf(client, 'x-contexts')) & TransmissionFlag.ROTATIONAL).not.toBe(0);
    expect(
      (await flagsOf(client, 'flushed')) & (TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA),
    ).toBe(TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA);
  });

  test('SEND_DF depends on structured replies, BLOCK_STATUS_PAYLOAD on extended headers and contexts', async () => {
    const client = await greeted();
    expect((await flagsOf(client)) & TransmissionFlag.SEND_DF).toBe(0);
    await client.option(Option.STRUCTURED_REPLY);
    expect((await flagsOf(client)) & TransmissionFlag.SEND_DF).not.toBe(0);
    await client.option(Option.EXTENDED_HEADERS);
    expect((await flagsOf(client)) & TransmissionFlag.BLOCK_STATUS_PAYLOAD).toBe(0);
    await client.option(Option.SET_META_CONTEXT, metaContexts('', 'base:allocation'));
    expect((await flagsOf(client)) & TransmissionFlag.BLOCK_STATUS_PAYLOAD).not.toBe(0);
  });
});

describe('"Metadata querying"', () => {
  const structured = async () => {
    const client = await greeted();
    await client.option(Option.STRUCTURED_REPLY);
    return client;
  };

  test('comes after structured replies, or extended headers', async () => {
    const client = await greeted();
    for (const option of [Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT]) {
      expect(await client.outcome(option, metaContexts('', 'base:allocation'))).toBe(OptionReply.ERR_INVALID);
    }
    await client.option(Option.EXTENDED_HEADERS);
    expect(await client.outcome(Option.SET_META_CONTEXT, metaContexts('', 'base:allocation'))).toBe(
      OptionReply.ACK,
    );
  });

  test.each([
    ['everything for no query', [], ['base:allocation', 'x-odd:one', 'x-odd:two']],
    ['a namespace for its wildcard', ['x-odd:'], ['x-odd:one', 'x-odd:two']],
    ['base:allocation for base:', ['base:'], ['base:allocation']],
    ['one for its name', ['x-odd:two'], ['x-odd:two']],
    ['nothing for what is unknown', ['qemu:dirty-bitmap:x', 'base:nosuch', 'x-odd:three'], []],
  ])('LIST_META_CONTEXT shows %s', async (_what, queries, names) => {
    const client = await structured();
    const found = contextsOf(
      await client.option(Option.LIST_META_CONTEXT, metaContexts('x-contexts', ...queries)),
    );
    expect(found).toEqual(names.map((name) => ({ id: 0, name })));
  });

  test.each([
    ['nothing for no query', [], []],
    ['no wildcard', ['base:', 'x-odd:'], []],
    ['what is named, once', ['x-odd:one', 'base:allocation', 'x-odd:one'], ['base:allocation', 'x-odd:one']],
    ['nothing for what is unknown', ['base:nosuch', 'x-none:y'], []],
  ])('SET_META_CONTEXT selects %s', async (_what, queries, names) => {
    const client = await structured();
    const found = contextsOf(
      await client.option(Option.SET_META_CONTEXT, metaContexts('x-contexts', ...queries)),
    );
    expect(found.map(({ name }) => name)).toEqual(names);
    expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
  });

  test.each([
    ['too short', new Uint8Array(3)],
    ['a query that goes beyond it', Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff)],
    ['more queries announced than there are', Uint8Array.of(0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)],
    ['a query without a namespace', metaContexts('', 'allocation')],
  ])('data that is %s gets ERR_INVALID', async (_what, data) => {
    const client = await structured();
    expect(await client.outcome(Option.LIST_META_CONTEXT, data)).toBe(OptionReply.ERR_INVALID);
    expect(await client.outcome(Option.SET_META_CONTEXT, data)).toBe(OptionReply.ERR_INVALID);
  });

  test('an export that does not exist gets ERR_UNKNOWN', async () => {
    const client = await structured();
    expect(await client.outcome(Option.SET_META_CONTEXT, metaContexts('nosuch', 'base:allocation'))).toBe(
      OptionReply.ERR_UNKNOWN,
    );
  });
});

describe('EXTENDED_HEADERS', () => {
  test('make STRUCTURED_REPLY answer ERR_EXT_HEADER_REQD', async () => {
    const client = await greeted();
    expect(await client.outcome(Option.STRUCTURED_REPLY)).toBe(OptionReply.ACK);
    expect(await client.outcome(Option.EXTENDED_HEADERS)).toBe(OptionReply.ACK);
    expect(await client.outcome(Option.STRUCTURED_REPLY)).toBe(OptionReply.ERR_EXT_HEADER_REQD);
  });

  test('rule EXPORT_NAME out', async () => {
    const client = await greeted();
    await client.option(Option.EXTENDED_HEADERS);
    client.send(encodeOption(Option.EXPORT_NAME, encodeString('')));
    await client.end();
  });
});

describe('a lesser server', () => {
  test.each([
    ['--no-eh', Option.EXTENDED_HEADERS],
    ['--no-sr', Option.STRUCTURED_REPLY],
    ['--no-sr', Option.EXTENDED_HEADERS],
    ['--no-mc', Option.SET_META_CONTEXT],
    ['--no-mc', Option.LIST_META_CONTEXT],
  ])('with %s does not know option %s', async (flag, option) => {
    await using server = await serve(['plugin-memory', '1M', flag]);
    using connection = await connectRaw(server);
    await connection.client.greet();
    expect(await connection.client.outcome(option)).toBe(OptionReply.ERR_UNSUP);
  });
});
