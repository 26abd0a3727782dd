import {
  Command,
  CommandFlag,
  decodeBlockStatusHeader,
  decodeErrorChunk,
  decodeExtendedBlockStatusHeader,
  decodeExtendedExtent,
  decodeExtent,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  encodeOptionReply,
  InfoType,
  MAX_STRING_LENGTH,
  Option,
  OPTION_REPLY_HEADER_SIZE,
  OptionReply,
  ReplyType,
  type BlockDevice,
} from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { serveWithKeys } from './raw/serve-keys.js';
import { memoryDisk, serveRaw, turns } from './raw/serve-raw.js';
import { serveOnSocket } from './raw/serve-socket.js';

// Each of these was found in another server; docs/security.md lists them. The tests say what would show it here.

const NAME = 'x'.repeat(MAX_STRING_LENGTH);

/** A server still does all it should for a new client. */
async function expectService({ connect }: Awaited<ReturnType<typeof serveOnSocket>>): Promise<void> {
  const { client } = connect();
  await client.go();
  client.request({ command: Command.READ, length: 512n });
  expect((await client.simpleReply(512)).error).toBe(0);
  client.request({ command: Command.DISC });
  await client.end();
}

describe('CVE-2013-7441', () => {
  test('a connection that is closed during negotiation does not end the server', async () => {
    const served = await serveOnSocket(memoryDisk(4096));
    const steps = [
      encodeOption(Option.LIST),
      encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [] })),
      encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [] })).subarray(0, 20),
      encodeOption(Option.EXPORT_NAME),
    ];
    for (const bytes of [new Uint8Array(0), ...steps]) {
      const { client } = served.connect();
      await client.greet();
      client.send(bytes);
      client.hangUp();
    }
    await expectService(served);
    while (served.server.connections > 0) await turns(1);
  });

  test('the name of an export that does not exist does not end the server', async () => {
    const served = await serveOnSocket(memoryDisk(4096));
    const { client } = served.connect();
    await client.greet();
    expect((await client.info(Option.GO, 'nosuch')).map(({ type }) => type)).toEqual([
      OptionReply.ERR_UNKNOWN,
    ]);
    client.send(encodeOption(Option.EXPORT_NAME, new TextEncoder().encode('nosuch')));
    await client.end();
    await expectService(served);
  });
});

describe('CVE-2017-15118, CVE-2022-26495 and CVE-2022-26496', () => {
  /** INFO, GO and the meta contexts, of a name of `length` bytes, of which `sent` are there. */
  const requests = (length: number, sent: number) => {
    const data = new Uint8Array(4 + sent + 4).fill(0x61, 4, 4 + sent);
    new DataView(data.buffer).setUint32(0, length);
    return [
      [Option.INFO, data.subarray(0, -2)],
      [Option.GO, data.subarray(0, -2)],
      [Option.LIST_META_CONTEXT, data],
      [Option.SET_META_CONTEXT, data],
    ] as const;
  };

  test.each([
    ['longer than names may be', MAX_STRING_LENGTH + 1, MAX_STRING_LENGTH + 1],
    ['as long as the option', 60_000, 60_000],
    ['longer than what was sent', 300, 200],
    ['of 2^32 - 1 bytes', 0xffff_ffff, 100],
    ['whose length overflows with what follows', 0xffff_fffe, 0],
    ['of 2^31 bytes', 0x8000_0000, 10],
  ])('a name %s is refused', async (_what, length, sent) => {
    const { client } = serveRaw(memoryDisk(4096));
    await client.greet();
    await client.option(Option.STRUCTURED_REPLY);
    for (const [option, data] of requests(length, sent)) {
      expect(await client.outcome(option, data)).toBe(OptionReply.ERR_INVALID);
    }
    expect((await client.info(Option.GO)).at(-1)!.type).toBe(OptionReply.ACK);
  });

  test('a name of as many bytes as there may be is looked for', async () => {
    const { client } = serveRaw(memoryDisk(4096), { exportName: NAME });
    await client.greet();
    expect((await client.info(Option.INFO, `${NAME.slice(1)}y`)).at(-1)!.type).toBe(OptionReply.ERR_UNKNOWN);
    expect((await client.info(Option.INFO, NAME, [InfoType.NAME])).at(-1)!.type).toBe(OptionReply.ACK);
  });

  test.each([
    ['the name', Uint8Array.of(0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)],
    ['a query', Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x61)],
  ])('more than there is after %s is refused', async (_what, data) => {
    const { client } = serveRaw(memoryDisk(4096));
    await client.greet();
    await client.option(Option.STRUCTURED_REPLY);
    expect(await client.outcome(Option.SET_META_CONTEXT, data)).toBe(OptionReply.ERR_INVALID);
  });

  test('EXPORT_NAME with a name longer than names may be ends that session only', async () => {
    const served = await serveOnSocket(memoryDisk(4096));
    for (const length of [MAX_STRING_LENGTH + 1, 65_536, 65_537, 0xffff_ffff]) {
      const { client } = served.connect();
      await client.greet();
      const option = encodeOption(Option.EXPORT_NAME, new Uint8Array(Math.min(length, 65_537)).fill(0x61));
      new DataView(option.buffer).setUint32(12, length);
      client.send(option);
      await client.end();
    }
    await expectService(served);
  });
});

describe('CVE-2017-15119', () => {
  test('the payload of an option is not waited for beyond a limit, and one of gigabytes is not read at all', async () => {
    const { client, closed } = serveRaw(memoryDisk(4096));
    await client.greet();
    expect(await client.outcome(99, new Uint8Array(65_537))).toBe(OptionReply.ERR_TOO_BIG);
    expect(await client.outcome(99, new Uint8Array(4 << 20))).toBe(OptionReply.ERR_TOO_BIG);
    const option = encodeOption(99);
    new DataView(option.buffer).setUint32(12, (4 << 20) + 1);
    client.send(option);
    await Promise.all([client.end(), closed]);
  });

  test('the payloads of options that are skipped have the time of the handshake', async () => {
    const { client } = serveRaw(memoryDisk(4096), { limits: { handshakeTime: 30 } });
    await client.greet();
    const option = encodeOption(99);
    new DataView(option.buffer).setUint32(12, 4 << 20);
    client.send(option);
    await client.end();
  });
});

describe('CVE-2019-14850', () => {
  test('nothing is opened for who has only connected, or asks without naming an export', async () => {
    let opened = 0;
    const open = () => {
      opened++;
      return memoryDisk(4096);
    };
    const { client } = serveRaw({ name: 'x', open });
    await turns();
    await client.greet();
    await client.option(Option.LIST);
    await client.option(Option.STRUCTURED_REPLY);
    await client.option(Option.EXTENDED_HEADERS);
    expect(opened).toBe(0);
    await client.info(Option.GO);
    expect(opened).toBe(1);
  });

  test('nothing is opened before TLS where TLS is required', async () => {
    let opened = 0;
    const open = () => {
      opened++;
      return memoryDisk(4096);
    };
    const { client } = serveRaw({ name: 'x', open }, { tls: 'require' });
    await client.greet();
    await client.option(Option.STRUCTURED_REPLY);
    const contexts = encodeMetaContextRequest({ name: '', queries: ['base:allocation'] });
    expect(await client.outcome(Option.SET_META_CONTEXT, contexts)).toBe(OptionReply.ERR_TLS_REQD);
    expect((await client.info(Option.INFO)).at(-1)!.type).toBe(OptionReply.ERR_TLS_REQD);
    expect((await client.info(Option.GO)).at(-1)!.type).toBe(OptionReply.ERR_TLS_REQD);
    expect(opened).toBe(0);
  });
});

describe('CVE-2019-14851', () => {
  const options = {
    LIST: () => encodeOption(Option.LIST),
    INFO: () => encodeOption(Option.INFO, encodeInfoRequest({ name: 'a', infos: [InfoType.BLOCK_SIZE] })),
    'INFO of another': () => encodeOption(Option.INFO, encodeInfoRequest({ name: 'b', infos: [] })),
    'INFO of none': () => encodeOption(Option.INFO, encodeInfoRequest({ name: 'nosuch', infos: [] })),
    SET_META_CONTEXT: () =>
      encodeOption(
        Option.SET_META_CONTEXT,
        encodeMetaContextRequest({ name: 'a', queries: ['base:allocation'] }),
      ),
    STRUCTURED_REPLY: () => encodeOption(Option.STRUCTURED_REPLY),
  };
  const names = Object.keys(options) as (keyof typeof options)[];

  test.each(names.flatMap((one) => names.map((two) => [one, two] as const)))(
    '%s, %s and GO: whatever comes first, each export is opened and closed once',
    async (one, two) => {
      const open = new Map<string, number>();
      let most = 0;
      const { client, closed } = serveRaw({
        name: 'x',
        exports: () => [{ name: 'a' }, { name: 'b' }],
        open({ exportName }) {
          const now = (open.get(exportName) ?? 0) + 1;
          open.set(exportName, now);
          most = Math.max(most, now);
          const close = () => void open.set(exportName, open.get(exportName)! - 1);
          return { ...memoryDisk(4096), close };
        },
      });
      await client.greet();
      for (const name of [one, two]) {
        client.send(options[name]());
        await client.optionReplies();
      }
      expect((await client.info(Option.GO, 'a')).at(-1)!.type).toBe(OptionReply.ACK);
      client.request({ command: Command.DISC });
      await Promise.all([client.end(), closed]);
      expect(most).toBe(1);
      expect([...open.values()].every((count) => count === 0)).toBe(true);
    },
  );

  test('a command before the handshake is over ends the session', async () => {
    const { client, closed } = serveRaw(memoryDisk(4096));
    await client.greet();
    client.request({ command: Command.READ, length: 512n });
    await Promise.all([client.end(), closed]);
  });
});

describe('CVE-2020-10761', () => {
  test('messages of errors stay within what the protocol allows, however long the name that they quote', async () => {
    const { client } = serveRaw(memoryDisk(4096));
    await client.greet();
    const [reply] = await client.info(Option.GO, NAME);
    expect(reply).toMatchObject({ type: OptionReply.ERR_UNKNOWN });
    expect(reply!.data.length).toBeGreaterThan(4000);
    expect(reply!.data.length).toBeLessThanOrEqual(MAX_STRING_LENGTH);
    const contexts = encodeMetaContextRequest({ name: NAME, queries: ['base:allocation'] });
    await client.option(Option.STRUCTURED_REPLY);
    const [other] = await client.option(Option.SET_META_CONTEXT, contexts);
    expect(other!.data.length).toBeLessThanOrEqual(MAX_STRING_LENGTH);
  });

  test('so does the message of a request, whatever a plugin says', async () => {
    const { client } = serveRaw({
      ...memoryDisk(4096),
      read() {
        throw Object.assign(new Error('é'.repeat(100_000)), {
          [Symbol.for('@nbd/protocol:NbdError')]: true,
          code: 'EIO',
        });
      },
    });
    await client.go({ structured: true });
    client.request({ command: Command.READ, length: 512n });
    const { type, payload } = await client.chunk();
    expect(type).toBe(ReplyType.ERROR);
    expect(payload.length).toBeLessThanOrEqual(6 + MAX_STRING_LENGTH);
    expect(decodeErrorChunk(payload).message).toMatch(/^é+$/);
  });
});

describe('CVE-2021-3716', () => {
  test('options that someone else has put before STARTTLS mean nothing after it', async () => {
    const { client, startTls } = (await serveWithKeys(memoryDisk(4096)))();
    await client.greet();
    expect(await client.outcome(Option.STRUCTURED_REPLY)).toBe(OptionReply.ACK);
    expect(await client.outcome(Option.EXTENDED_HEADERS)).toBe(OptionReply.ACK);
    const contexts = encodeMetaContextRequest({ name: '', queries: ['base:allocation'] });
    expect(await client.outcome(Option.SET_META_CONTEXT, contexts)).toBe(OptionReply.ACK);
    expect(await client.outcome(Option.STARTTLS)).toBe(OptionReply.ACK);
    await startTls();
    expect(await client.outcome(Option.SET_META_CONTEXT, contexts)).toBe(OptionReply.ERR_INVALID);
    expect((await client.info(Option.GO)).at(-1)!.type).toBe(OptionReply.ACK);
    client.request({ command: Command.READ, cookie: 3n, length: 512n });
    expect(await client.simpleReply(512)).toMatchObject({ error: 0, cookie: 3n });
  });

  test('what is sent in plain text after STARTTLS is never taken up', async () => {
    const connect = await serveWithKeys(memoryDisk(4096));
    const { client: at } = connect();
    await at.greet();
    at.send(Uint8Array.from([...encodeOption(Option.STARTTLS), ...encodeOption(Option.STRUCTURED_REPLY)]));
    await at.end();
    expect(at.unread).toBe(0);

    const { client: after } = connect();
    await after.greet();
    expect(await after.outcome(Option.STARTTLS)).toBe(OptionReply.ACK);
    after.send(encodeOption(Option.STRUCTURED_REPLY));
    await after.end();
    const answers = await after.read(after.unread);
    const ack = encodeOptionReply(Option.STRUCTURED_REPLY, OptionReply.ACK);
    expect(Buffer.from(answers).includes(Buffer.from(ack.subarray(0, OPTION_REPLY_HEADER_SIZE)))).toBe(false);
  });

  test('replies that have not left yet leave before TLS begins', async () => {
    const { client, startTls } = (await serveWithKeys(memoryDisk(4096)))();
    await client.greet();
    for (let i = 0; i < 50; i++) client.send(encodeOption(99));
    client.send(encodeOption(Option.STARTTLS));
    for (let i = 0; i < 50; i++)
      expect((await client.optionReplies()).at(-1)!.type).toBe(OptionReply.ERR_UNSUP);
    expect((await client.optionReplies()).at(-1)!.type).toBe(OptionReply.ACK);
    await startTls();
    expect((await client.info(Option.GO)).at(-1)!.type).toBe(OptionReply.ACK);
  });
});

describe('CVE-2024-7409', () => {
  test('clients that keep their sockets open while the server ends are cut off, wherever they are', async () => {
    const { connect, server } = await serveOnSocket(memoryDisk(1 << 20), { limits: { graceTime: 50 } });
    const clients = Array.from({ length: 5 }, () => connect().client);
    const [silent, greeted, halfway, idle, deaf] = clients;
    await silent!.read(18);
    await greeted!.greet();
    await halfway!.go();
    halfway!.request({ command: Command.WRITE, length: 1000n, payload: new Uint8Array(10) });
    await idle!.go();
    await deaf!.go();
    deaf!.deaf = true;
    for (let i = 0; i < 500; i++) deaf!.request({ command: Command.READ, length: 1n << 20n });
    await turns();
    await server.close();
    expect(server.connections).toBe(0);
    deaf!.hear();
    await Promise.all(clients.map((client) => client.end()));
  });

  test('those who do not negotiate do not take the place of others for long', async () => {
    const { connect } = await serveOnSocket(memoryDisk(512), {
      limits: { connections: 3, handshakeTime: 30 },
    });
    const squatters = Array.from({ length: 3 }, () => connect().client);
    await Promise.all(squatters.map((client) => client.read(18)));
    await Promise.all(squatters.map((client) => client.end()));
    await connect().client.go();
  });
});

describe('CVE-2025-47711 and CVE-2025-47712', () => {
  const SIZE = 1n << 40n;
  /** Extents of just under, at and over 2^32 bytes, as they come from a device with blocks. */
  const device = (step: bigint): BlockDevice => ({
    size: SIZE,
    info: { blockSize: { minimum: 4096, preferred: 65_536, maximum: 1 << 20 } },
    read: () => undefined,
    extents(offset, _length, sink) {
      let left = step - (offset % step);
      for (let flags = Number((offset / step) & 1n); sink.add(left, flags); flags ^= 1) left = step;
    },
  });
  const near = [0xffff_f000n, 1n << 32n, (1n << 32n) + 4096n, 0xffff_0000n, SIZE];

  test.each(near)('extents of %s bytes are told in 32 bits without a hole or an overlap', async (step) => {
    const { client } = serveRaw(device(step));
    await client.go({ structured: true, contexts: ['base:allocation'] });
    for (const offset of [0n, 1n, 4095n, 4096n, 0xffff_ffffn, 1n << 32n, SIZE - 0xffff_ffffn]) {
      for (const length of [0xffff_ffffn, 0xffff_f001n, 0xffff_f000n, 0xffff_0000n, 1n << 31n, 1n]) {
        for (const flags of [0, CommandFlag.REQ_ONE]) {
          client.request({ command: Command.BLOCK_STATUS, flags, offset, length });
          const { type, payload } = await client.chunk();
          expect(type).toBe(ReplyType.BLOCK_STATUS);
          const { count } = decodeBlockStatusHeader(payload);
          if (flags !== 0) expect(count).toBe(1);
          let at = offset;
          for (let i = 0; i < count; i++) {
            const extent = decodeExtent(payload, i);
            expect(extent.flags).toBe((at / step) & 1n);
            expect(extent.length).toBeGreaterThan(0n);
            // No further than to the next change of flags.
            expect(at + extent.length).toBeLessThanOrEqual((at / step + 1n) * step);
            at += extent.length;
          }
          if (flags !== 0) expect(at - offset).toBeLessThanOrEqual(length);
          expect(at).toBeLessThanOrEqual(SIZE);
        }
      }
    }
  });

  test.each(near)('extents of %s bytes are told in 64 bits as they are', async (step) => {
    const { client } = serveRaw(device(step));
    await client.go({ extended: true, contexts: ['base:allocation'] });
    for (const offset of [0n, 1n, 4096n, 1n << 32n]) {
      const length = SIZE - offset;
      client.extendedRequest({ command: Command.BLOCK_STATUS, offset, length });
      const { payload } = await client.extendedChunk();
      const { count } = decodeExtendedBlockStatusHeader(payload);
      let at = offset;
      for (let i = 0; i < count; i++) {
        const extent = decodeExtendedExtent(payload, i);
        expect(extent.flags).toBe((at / step) & 1n);
        at += extent.length;
      }
      expect(at).toBe(SIZE);
    }
  });
});
