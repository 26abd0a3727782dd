import {
  encodeErrorOffsetChunk,
  encodeExtendedExtent,
  encodeExtendedBlockStatusHeader,
  encodeExtent,
  encodeBlockStatusHeader,
  encodeGreeting,
  encodeInfo,
  encodeMetaContext,
  encodeOffsetHole,
  encodeOptionReply,
  encodeOffsetDataPrefix,
  encodeServer,
  encodeStructuredReply,
  Option,
  OptionReply,
  ReplyFlag,
  ReplyType,
  STRUCTURED_REPLY_SIZE,
  type ExtentSink,
} from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import { describeExportOf, listExportsOf, openDisk, type NbdClient } from '../src/session/index.js';
import { scripted, type ScriptedServer, type Served } from './scripted-server.js';

const LIMIT = { connectTimeout: 2000 };
const zeroes = (length: number) => new Uint8Array(length);

describe('a handshake that breaks a rule is an error that names the rule', () => {
  test.each<[string, (server: ScriptedServer) => Promise<void> | void, RegExp]>([
    [
      'no NBD server',
      (s) => {
        s.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n'));
      },
      /greeting can't start with/,
    ],
    [
      'half an NBD server',
      (s) => {
        s.send(Buffer.from('NBDMAGIC'), zeroes(200));
      },
      /second half of a greeting/,
    ],
    [
      'an end before the greeting',
      (s) => {
        s.end();
      },
      /closed the connection/,
    ],
    [
      'an end within the greeting',
      (s) => {
        s.send(Buffer.from('NBDMAGICIHAVEOPT'));
        s.end();
      },
      /closed the connection/,
    ],
    [
      'a size above 2^63 - 1 (CVE-2023-5215)',
      (s) =>
        negotiate(s, (option) => {
          s.reply(option, OptionReply.INFO, encodeInfo({ kind: 'export', size: 1n << 63n, flags: 1 }));
        }),
      /9223372036854775808 bytes; 2\^63 - 1 are the most/,
    ],
    [
      'such a size in the old style',
      (s) => {
        s.send(encodeGreeting({ style: 'oldstyle', size: (1n << 64n) - 1n, flags: 1 }));
      },
      /2\^63 - 1 are the most/,
    ],
    [
      'a reply to another option',
      async (s) => {
        await s.greet();
        await s.option();
        s.reply(Option.LIST, OptionReply.ACK);
      },
      /answers option LIST when asked for EXTENDED_HEADERS/,
    ],
    [
      'a reply that does not start as one',
      async (s) => {
        await s.greet();
        await s.option();
        s.send(zeroes(20));
      },
      /option reply can't start/,
    ],
    [
      'a reply of 4 GiB',
      async (s) => {
        await s.greet();
        const { option } = await s.option();
        const header = encodeOptionReply(option, OptionReply.ERR_UNSUP);
        header.fill(0xff, 16);
        s.send(header);
      },
      /announces 4294967295 bytes/,
    ],
    [
      'data in an acknowledgement',
      async (s) => {
        await s.greet();
        s.reply((await s.option()).option, OptionReply.ACK, zeroes(1));
      },
      /acknowledges option EXTENDED_HEADERS with data/,
    ],
    [
      'a reply of a type that makes no sense',
      async (s) => {
        await s.greet();
        s.reply((await s.option()).option, OptionReply.SERVER, zeroes(4));
      },
      /reply of type 2 to option EXTENDED_HEADERS/,
    ],
    [
      'endless replies',
      (s) =>
        negotiate(s, (option) => {
          sayForEver(s, encodeOptionReply(option, OptionReply.INFO, Uint8Array.of(0x7f, 0xff)));
          return false;
        }),
      /does not come to an end of its replies to option GO/,
    ],
    ['agreement without a size', (s) => negotiate(s, () => undefined), /without saying the size/],
    [
      'an info that is cut off',
      (s) =>
        negotiate(s, (option) => {
          s.reply(option, OptionReply.INFO, Uint8Array.of(0, 0, 1));
        }),
      /info about the export takes 12 bytes/,
    ],
    [
      'block sizes that are no power of 2',
      (s) =>
        negotiate(s, (option) => {
          s.reply(
            option,
            OptionReply.INFO,
            encodeInfo({ kind: 'block-size', minimum: 3, preferred: 4096, maximum: 65536 }),
          );
        }),
      /minimum is no power of 2/,
    ],
    [
      'a block size of 0',
      (s) =>
        negotiate(s, (option) => {
          s.reply(
            option,
            OptionReply.INFO,
            encodeInfo({ kind: 'block-size', minimum: 0, preferred: 4096, maximum: 65536 }),
          );
        }),
      /minimum is no power of 2/,
    ],
    [
      'a maximum block size below the preferred one',
      (s) =>
        negotiate(s, (option) => {
          s.reply(
            option,
            OptionReply.INFO,
            encodeInfo({ kind: 'block-size', minimum: 1, preferred: 4096, maximum: 0 }),
          );
        }),
      /maximum is below the preferred/,
    ],
    [
      'a meta context twice',
      async (s) => {
        await s.greet();
        for (const type of [OptionReply.ERR_UNSUP, OptionReply.ACK]) s.reply((await s.option()).option, type);
        const { option } = await s.option();
        for (const id of [1, 2])
          s.reply(option, OptionReply.META_CONTEXT, encodeMetaContext({ id, name: 'base:allocation' }));
      },
      /agrees twice to the meta context/,
    ],
    [
      'no GO after extended headers',
      async (s) => {
        await s.greet();
        for (const type of [OptionReply.ACK, OptionReply.ACK, OptionReply.ERR_UNSUP])
          s.reply((await s.option()).option, type);
      },
      /refuses GO though it has agreed to extended headers/,
    ],
    [
      'a message of 5000 bytes',
      async (s) => {
        await s.greet();
        s.reply((await s.option()).option, OptionReply.ERR_UNSUP, zeroes(5000).fill(65));
      },
      /5000 bytes/,
    ],
  ])('%s', async (_name, script, message) => {
    const { dial, failures, servers } = scripted(async (server) => {
      await script(server);
    });
    await expect(openDisk(dial, LIMIT)).rejects.toThrow(message);
    await servers[0]!.closed;
    expect(failures).toEqual([]);
  });

  test('a server that accepts and says nothing runs into the time limit', async () => {
    const { dial, servers } = scripted(() => Promise.resolve());
    await expect(openDisk(dial, { connectTimeout: 20 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await servers[0]!.closed;
  });

  test.each([0, 1, 2, 3, 4])(
    'a server that is gone after %d options is an error (CVE-2021-20286)',
    async (options) => {
      const { dial } = scripted(async (server) => {
        await server.greet();
        for (let i = 0; i < options; i++) server.reply((await server.option()).option, OptionReply.ACK);
        server.end();
      });
      await expect(openDisk(dial, LIMIT)).rejects.toThrow(/closed the connection|without saying the size/);
    },
  );

  test('an endless list of exports', async () => {
    const { dial } = scripted(async (server) => {
      await server.greet();
      const { option } = await server.option();
      sayForEver(
        server,
        encodeOptionReply(option, OptionReply.SERVER, encodeServer({ name: 'x'.repeat(4000) })),
      );
    });
    await expect(listExportsOf(dial, LIMIT)).rejects.toThrow(/does not come to an end/);
  });

  test('an export whose name is longer than its reply', async () => {
    const { dial } = scripted(async (server) => {
      await server.greet();
      server.reply((await server.option()).option, OptionReply.SERVER, Uint8Array.of(0, 0, 1, 0, 65));
    });
    await expect(listExportsOf(dial, LIMIT)).rejects.toThrow(/name of 256 bytes in 5 bytes/);
  });

  test('an endless list of meta contexts', async () => {
    const { dial } = scripted(async (server) => {
      await server.greet();
      for (const type of [OptionReply.ERR_UNSUP, OptionReply.ACK])
        server.reply((await server.option()).option, type);
      const { option } = await server.option();
      sayForEver(
        server,
        encodeOptionReply(option, OptionReply.META_CONTEXT, encodeMetaContext({ id: 0, name: 'x:y' })),
      );
    });
    await expect(describeExportOf(dial, LIMIT)).rejects.toThrow(/does not come to an end/);
  });
});

type Attack = (server: ScriptedServer, request: Awaited<ReturnType<ScriptedServer['request']>>) => void;

describe('a reply that breaks a rule is an error that names the rule, and ends the connection', () => {
  const read = (disk: NbdClient) => disk.read(4096n, 4096);
  const write = (disk: NbdClient) => disk.write(0n, zeroes(512));
  const extents = (disk: NbdClient) => disk.extents(0n, 1n << 20n, collect().sink);

  test.each<[string, (disk: NbdClient) => Promise<unknown>, Attack, RegExp, Served?]>([
    [
      'bytes that are no reply',
      read,
      (s) => {
        s.send(zeroes(64));
      },
      /a reply can't start with 0x0/,
    ],
    [
      'a reply to nothing',
      read,
      (s, r) => {
        s.data({ ...r, cookie: 999n }, 4096n, zeroes(4096));
      },
      /cookie 999, of which no request/,
    ],
    [
      'a reply twice',
      write,
      (s, r) => {
        s.simpleReply(r.cookie);
        s.simpleReply(r.cookie);
      },
      /of which no request/,
    ],
    [
      'a simple reply to a read',
      read,
      (s, r) => {
        s.simpleReply(r.cookie, 0, zeroes(4096));
      },
      /read with a simple reply/,
    ],
    [
      'a structured reply not agreed on',
      read,
      (s, r) => {
        s.data(r, 4096n, zeroes(4096));
      },
      /structured reply, which was not agreed/,
      { structured: false },
    ],
    [
      'an extended reply not agreed on',
      read,
      (s, r) => {
        s.extended = true;
        s.data(r, 4096n, zeroes(4096));
      },
      /extended reply, which was not agreed/,
    ],
    [
      'a compact reply where extended ones were agreed on',
      read,
      (s, r) => {
        s.extended = false;
        s.data(r, 4096n, zeroes(4096));
      },
      /compact reply, though extended/,
      { extended: true },
    ],
    [
      'a simple reply where extended ones were agreed on',
      write,
      (s, r) => {
        s.simpleReply(r.cookie);
      },
      /compact reply, though extended/,
      { extended: true },
    ],
    [
      'an extended reply for another offset',
      read,
      (s, r) => {
        s.data({ ...r, offset: 0n }, 4096n, zeroes(4096));
      },
      /answers offset 0 to the read/,
      { extended: true },
    ],
    [
      'data before the request',
      read,
      (s, r) => {
        s.data(r, 4095n, zeroes(10));
      },
      /10 bytes at offset 4095 that was not asked for/,
    ],
    [
      'data after the request',
      read,
      (s, r) => {
        s.data(r, 4097n, zeroes(4096));
      },
      /4096 bytes at offset 4097 that was not asked for/,
    ],
    [
      'data far away',
      read,
      (s, r) => {
        s.data(r, 0xffff_ffff_ffff_f000n, zeroes(4096));
      },
      /was not asked for/,
    ],
    [
      'data announced to be 4 GiB',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_DATA, zeroes(8), 0, 0xffff_ffff);
      },
      /was not asked for/,
    ],
    [
      'data announced to be 2^50 bytes',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_DATA, zeroes(8), 0, 2 ** 50);
      },
      /was not asked for/,
      { extended: true },
    ],
    [
      'a chunk of data without data',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_DATA, zeroes(8));
      },
      /chunk of data without data/,
    ],
    [
      'a chunk of data that is too short',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_DATA, zeroes(3));
      },
      /chunk of data without data/,
    ],
    [
      'data that overlaps',
      read,
      (s, r) => {
        s.data(r, 4096n, zeroes(100), 0);
        s.data(r, 4195n, zeroes(100));
      },
      /overlaps another/,
    ],
    [
      'data that overlaps out of order',
      read,
      (s, r) => {
        s.data(r, 5000n, zeroes(100), 0);
        s.data(r, 4950n, zeroes(51));
      },
      /overlaps another/,
    ],
    [
      'a hole over data',
      read,
      (s, r) => {
        s.data(r, 4096n, zeroes(100), 0);
        s.chunk(r, ReplyType.OFFSET_HOLE, hole(4096n, 4096));
      },
      /a hole of 4096 bytes at offset 4096 that overlaps/,
    ],
    [
      'a hole outside',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_HOLE, hole(4096n, 0xffff_ffff));
      },
      /was not asked for/,
    ],
    [
      'a hole of 0 bytes',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_HOLE, zeroes(12));
      },
      /hole is 0 bytes/,
    ],
    [
      'a hole with something in it',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_HOLE, zeroes(13));
      },
      /hole in 13 bytes/,
    ],
    [
      'a part of the data',
      read,
      (s, r) => {
        s.data(r, 4096n, zeroes(4095));
      },
      /leaves a part out/,
    ],
    [
      'data with a gap',
      read,
      (s, r) => {
        s.data(r, 4096n, zeroes(10), 0);
        s.data(r, 4107n, zeroes(4085));
      },
      /leaves a part out/,
    ],
    [
      'no data at all',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.NONE);
      },
      /leaves a part out/,
    ],
    [
      'an empty chunk with something in it',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.NONE, zeroes(1));
      },
      /1 bytes in a chunk that has none/,
    ],
    [
      'an empty chunk that is not the last',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.NONE, undefined, 0);
      },
      /not the last/,
    ],
    [
      'a chunk of unknown type',
      read,
      (s, r) => {
        s.chunk(r, 0x77, zeroes(4));
      },
      /unknown type 119/,
    ],
    [
      'data in reply to a write',
      write,
      (s, r) => {
        s.data(r, 0n, zeroes(512));
      },
      /data of 512 bytes at offset 0|sends data to the write/,
    ],
    [
      'a hole in reply to a write',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.OFFSET_HOLE, hole(0n, 512));
      },
      /sends a hole to the write/,
    ],
    [
      'extents in reply to a read',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS, status(7, [[4096n, 0]]));
      },
      /extents to the read/,
    ],
    [
      'an error that is none',
      write,
      (s, r) => {
        s.error(r, 0);
      },
      /reports success/,
    ],
    [
      'an error with nothing in it',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.ERROR);
      },
      /without anything in it/,
    ],
    [
      'an error that is cut off',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.ERROR, zeroes(5));
      },
      /error chunk takes 6 bytes/,
    ],
    [
      'an error with a huge message',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.ERROR, zeroes(6), ReplyFlag.DONE, 0xffff_ffff);
      },
      /announces an error of 4294967295 bytes/,
    ],
    [
      'an error with a message of 4097 bytes',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.ERROR, longError(4097));
      },
      /4097 bytes/,
    ],
    [
      'an error whose message is not all there',
      write,
      (s, r) => {
        s.chunk(r, ReplyType.ERROR, Uint8Array.of(0, 0, 0, 5, 1, 0, 65));
      },
      /message of an error chunk/,
    ],
    [
      'an error elsewhere',
      read,
      (s, r) => {
        s.chunk(r, ReplyType.ERROR_OFFSET, encodeErrorOffsetChunk({ error: 5, message: '', offset: 0n }));
      },
      /error at offset 0/,
    ],
    [
      'extents of 0 bytes',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS, status(7, [[1n, 0]]).fill(0, 4));
      },
      /extent 0 of a block status is 0 bytes/,
    ],
    [
      'extents of no context that we know',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS, status(8, [[1n, 0]]));
      },
      /unknown meta context 8/,
    ],
    [
      'extents twice',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS, status(7, [[1n, 0]]), 0);
        s.chunk(r, ReplyType.BLOCK_STATUS, status(7, [[1n, 0]]));
      },
      /meta context 7 twice/,
    ],
    [
      'no extents',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.NONE);
      },
      /0 of 1 meta contexts/,
    ],
    [
      'half an extent',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS, zeroes(11));
      },
      /not one of whole extents/,
    ],
    [
      '4 GiB of extents',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS, zeroes(4), 0, 0xffff_fffc);
      },
      /announces 4294967292 bytes of extents/,
    ],
    [
      'extents in the form not agreed on',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS_EXT, extendedStatus(7, [[1n, 0n]]));
      },
      /extents in the extended form/,
    ],
    [
      'extended extents of absurd length (CVE-2023-5871)',
      extents,
      (s, r) => {
        s.chunk(r, ReplyType.BLOCK_STATUS_EXT, extendedStatus(7, [[1n << 63n, 0n]]));
      },
      /goes beyond 2\^63 - 1/,
      { extended: true },
    ],
    [
      'extended extents that wrap around',
      extents,
      (s, r) => {
        s.chunk(
          r,
          ReplyType.BLOCK_STATUS_EXT,
          extendedStatus(7, [
            [512n, 0n],
            [(1n << 64n) - 512n, 0n],
          ]),
        );
      },
      /goes beyond 2\^63 - 1/,
      { extended: true },
    ],
    [
      'a wrong number of extended extents',
      extents,
      (s, r) => {
        const p = extendedStatus(7, [[1n, 0n]]);
        p[7] = 2;
        s.chunk(r, ReplyType.BLOCK_STATUS_EXT, p);
      },
      /not one of 2 extents/,
      { extended: true },
    ],
    [
      'several extents when asked for one',
      (disk) => disk.extents(0n, 1024n, collect().sink, { one: true }),
      (s, r) => {
        s.chunk(
          r,
          ReplyType.BLOCK_STATUS,
          status(7, [
            [512n, 0],
            [512n, 3],
          ]),
        );
      },
      /2 extents when asked for one/,
    ],
    [
      'fragments when asked for none',
      (disk) => disk.read(4096n, 4096, { dontFragment: true }),
      (s, r) => {
        s.data(r, 4096n, zeroes(1), 0);
        s.data(r, 4097n, zeroes(4095));
      },
      /is a fragment/,
    ],
  ])('%s', async (_name, call, attack, message, served) => {
    const { dial, failures, servers } = scripted(async (server) => {
      await server.handshake(served);
      attack(server, await server.request());
      await server.closed;
    });
    const disk = await openDisk(dial, LIMIT);
    // A second call is under way too: it must not be left waiting.
    const calls = [call(disk), disk.read(65536n, 512)];
    for (const call of calls) call.catch(() => undefined);
    const outcomes = await Promise.allSettled(calls);
    await servers[0]!.closed;
    expect(outcomes.map(({ status }) => status)).toContain('rejected');
    const reasons = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    );
    expect(reasons.every((reason) => reason === reasons[0])).toBe(true);
    expect(reasons[0]).toMatchObject({ code: 'EPROTO', message: expect.stringMatching(message) as string });
    expect(failures).toEqual([]);
    await expect(disk.read(0n, 512)).rejects.toBe(reasons[0]);
    await disk.close();
  });

  test('words after the handshake that nobody asked for', async () => {
    const { dial } = scripted(async (server) => {
      await server.handshake();
      server.simpleReply(1n);
    });
    const reading = openDisk(dial, LIMIT).then((disk) => disk.read(0n, 512));
    await expect(reading).rejects.toMatchObject({ code: 'EPROTO' });
  });

  test('a reply that ends in the middle is not taken for one', async () => {
    const { dial } = scripted(async (server) => {
      await server.handshake();
      const request = await server.request();
      server.chunk(request, ReplyType.OFFSET_DATA, zeroes(2000), ReplyFlag.DONE, 4104);
      server.end();
    });
    const disk = await openDisk(dial, LIMIT);
    const into = new Uint8Array(4096).fill(7);
    await expect(disk.read(0n, into)).rejects.toMatchObject({ code: 'ECONNRESET' });
    await disk.close();
  });

  test('data scattered over more pieces than make sense', async () => {
    const { dial } = scripted(async (server) => {
      await server.handshake();
      const request = await server.request();
      const scattered = Array.from({ length: 32_000 }, (_, i) => {
        const chunk = new Uint8Array(STRUCTURED_REPLY_SIZE + 9);
        encodeStructuredReply(chunk, 0, 0, ReplyType.OFFSET_DATA, request.cookie, 9);
        encodeOffsetDataPrefix(chunk, STRUCTURED_REPLY_SIZE, BigInt(2 * i + 1));
        return chunk;
      });
      server.send(Buffer.concat(scattered));
      await server.closed;
    });
    const disk = await openDisk(dial, LIMIT);
    await expect(disk.read(0n, 65536)).rejects.toThrow(/more than 16384 scattered pieces/);
    await disk.close();
  });
});

/** Goes along until GO, and answers it as told, with an acknowledgement unless that returns false. */
async function negotiate(server: ScriptedServer, answer: (option: number) => unknown): Promise<void> {
  await server.greet();
  for (;;) {
    const { option } = await server.option();
    if (option !== Option.GO) server.reply(option, OptionReply.ERR_UNSUP);
    else if (answer(option) !== false) server.reply(option, OptionReply.ACK);
  }
}

/** Ends when the client does. */
function sayForEver(server: ScriptedServer, words: Uint8Array): void {
  let ended = false;
  void server.closed.then(() => (ended = true));
  const say = () => {
    if (ended) return;
    for (let i = 0; i < 1000; i++) server.send(words);
    setImmediate(say);
  };
  say();
}

function hole(offset: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(12);
  encodeOffsetHole(bytes, 0, offset, length);
  return bytes;
}

function longError(length: number): Uint8Array {
  const bytes = new Uint8Array(6 + length).fill(65);
  bytes.set([0, 0, 0, 5, length >> 8, length & 0xff]);
  return bytes;
}

function status(id: number, extents: readonly [bigint, number][]): Uint8Array {
  const bytes = new Uint8Array(4 + 8 * extents.length);
  encodeBlockStatusHeader(bytes, 0, id);
  for (const [index, [length, flags]] of extents.entries()) encodeExtent(bytes, 4 + 8 * index, length, flags);
  return bytes;
}

function extendedStatus(id: number, extents: readonly [bigint, bigint][]): Uint8Array {
  const bytes = new Uint8Array(8 + 16 * extents.length);
  encodeExtendedBlockStatusHeader(bytes, 0, id, extents.length);
  for (const [index, [length, flags]] of extents.entries()) {
    encodeExtendedExtent(bytes, 8 + 16 * index, length, flags);
  }
  return bytes;
}

function collect(): { extents: [bigint, number][]; sink: ExtentSink } {
  const extents: [bigint, number][] = [];
  return { extents, sink: { add: (length, flags) => extents.push([length, flags]) > 0 } };
}
