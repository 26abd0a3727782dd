import { describe, expect, test } from 'vitest';
import * as nbd from '../src/index.js';
import { hex, toHex } from './bytes.js';

// The fields as the tables of the protocol document have them, written out by hand.

describe('handshake', () => {
  test('newstyle greeting', () => {
    const bytes = hex('4e42444d41474943 49484156454f5054 0003');
    expect(toHex(nbd.encodeGreeting({ style: 'newstyle', flags: 3 }))).toBe(toHex(bytes));
    expect(nbd.decodeGreeting(bytes)).toEqual({ style: 'newstyle', flags: 3 });
    expect(nbd.greetingSize(bytes)).toBe(18);
  });

  test('oldstyle greeting', () => {
    const bytes = hex(`4e42444d41474943 0000420281861253 0000000000100000 00000003 ${'00'.repeat(124)}`);
    expect(toHex(nbd.encodeGreeting({ style: 'oldstyle', size: 1_048_576n, flags: 3 }))).toBe(toHex(bytes));
    expect(nbd.decodeGreeting(bytes)).toEqual({ style: 'oldstyle', size: 1_048_576n, flags: 3 });
    expect(nbd.greetingSize(bytes.subarray(0, 16))).toBe(152);
    expect(bytes).toHaveLength(152);
  });

  test.each([
    ['HTTP/1.1 400 Bad', 'Request of a web server'],
    ['NBDMAGICNBDMAGIC', 'half a greeting'],
  ])('%s is no greeting', (text) => {
    const bytes = new TextEncoder().encode(text);
    expect(() => nbd.greetingSize(bytes)).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  });

  test("client's flags", () => {
    expect(toHex(nbd.encodeClientFlags(nbd.ClientFlag.FIXED_NEWSTYLE | nbd.ClientFlag.NO_ZEROES))).toBe(
      '00000003',
    );
    expect(nbd.decodeClientFlags(hex('80000001'))).toBe(0x8000_0001);
  });

  test('an option with its data', () => {
    const bytes = hex('49484156454f5054 00000001 00000004 6469736b');
    expect(toHex(nbd.encodeOption(nbd.Option.EXPORT_NAME, nbd.encodeString('disk')))).toBe(toHex(bytes));
    expect(nbd.decodeOptionHeader(bytes)).toEqual({ option: nbd.Option.EXPORT_NAME, length: 4 });
  });

  test('an option reply that is an error has bit 31 set, as an unsigned number', () => {
    const bytes = hex('0003e889045565a9 00000007 80000006 00000002 6e6f');
    const reply = nbd.encodeOptionReply(nbd.Option.GO, nbd.OptionReply.ERR_UNKNOWN, nbd.encodeMessage('no'));
    expect(toHex(reply)).toBe(toHex(bytes));
    const header = nbd.decodeOptionReplyHeader(bytes);
    expect(header).toEqual({ option: 7, type: 0x8000_0006, length: 2 });
    expect(nbd.isOptionError(header.type)).toBe(true);
    expect(nbd.isOptionError(nbd.OptionReply.META_CONTEXT)).toBe(false);
  });

  test('reply to an export name', () => {
    const reply = { size: 512n, flags: nbd.TransmissionFlag.HAS_FLAGS | nbd.TransmissionFlag.READ_ONLY };
    expect(toHex(nbd.encodeExportNameReply(reply, false))).toBe('00000000000002000003');
    expect(toHex(nbd.encodeExportNameReply(reply, true))).toBe(`00000000000002000003${'00'.repeat(124)}`);
  });

  test('request for info', () => {
    const bytes = hex('00000002 c3a9 0002 0003 0001');
    const request = { name: 'é', infos: [nbd.InfoType.BLOCK_SIZE, nbd.InfoType.NAME] };
    expect(toHex(nbd.encodeInfoRequest(request))).toBe(toHex(bytes));
    expect(nbd.decodeInfoRequest(bytes)).toEqual(request);
  });

  test.each([
    ['a name longer than the data', '00000003 6161 0000'],
    ['fewer infos than announced', '00000001 61 0002 0003'],
    ['bytes after the last info', '00000001 61 0001 0003 00'],
    ['an announced name of 4 GiB', 'ffffffff 61 0000'],
    ['a name with a NUL', '00000001 00 0000'],
    ['a name that is not UTF-8', '00000001 ff 0000'],
    ['nothing', ''],
  ])('a request for info with %s is refused', (_what, text) => {
    expect(() => nbd.decodeInfoRequest(hex(text))).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  });

  test('infos', () => {
    const cases: [nbd.Info, string][] = [
      [{ kind: 'export', size: 2n ** 63n - 1n, flags: 0x1fff }, '0000 7fffffffffffffff 1fff'],
      [{ kind: 'name', name: 'ab' }, '0001 6162'],
      [{ kind: 'description', description: '' }, '0002'],
      [
        { kind: 'block-size', minimum: 1, preferred: 4096, maximum: 0xffff_ffff },
        '0003 00000001 00001000 ffffffff',
      ],
      [{ kind: 'unknown', type: 0x1234, data: hex('00ff') }, '1234 00ff'],
    ];
    for (const [info, text] of cases) {
      expect(toHex(nbd.encodeInfo(info))).toBe(toHex(hex(text)));
      expect(nbd.decodeInfo(hex(text))).toEqual(info);
    }
  });

  test.each(['0000 0000000000000000 0001 00', '0000 00', '0003 00000001 00001000', '00'])(
    'an info of the wrong length is refused: %s',
    (text) => {
      expect(() => nbd.decodeInfo(hex(text))).toThrow(expect.objectContaining({ code: 'EPROTO' }));
    },
  );

  test('request for meta contexts', () => {
    const bytes = hex('00000001 61 00000002 00000005 626173653a 00000002 783a');
    const request = { name: 'a', queries: ['base:', 'x:'] };
    expect(toHex(nbd.encodeMetaContextRequest(request))).toBe(toHex(bytes));
    expect(nbd.decodeMetaContextRequest(bytes)).toEqual(request);
  });

  test.each([
    ['more queries announced than there are', '00000000 ffffffff 00000001 61'],
    ['a query longer than the data', '00000000 00000001 00000005 61'],
    ['bytes after the last query', '00000000 00000000 00'],
    ['no number of queries', '00000001 61'],
  ])('a request for meta contexts with %s is refused', (_what, text) => {
    expect(() => nbd.decodeMetaContextRequest(hex(text))).toThrow(
      expect.objectContaining({ code: 'EPROTO' }),
    );
  });

  test('meta context', () => {
    const bytes = hex(`00000007 ${toHex(new TextEncoder().encode('base:allocation'))}`);
    expect(toHex(nbd.encodeMetaContext({ id: 7, name: nbd.BASE_ALLOCATION }))).toBe(toHex(bytes));
  });

  test('listed export', () => {
    expect(toHex(nbd.encodeServer({ name: 'a' }))).toBe('0000000161');
    expect(toHex(nbd.encodeServer({ name: 'a', description: 'b' }))).toBe('000000016162');
    expect(nbd.decodeServer(hex('00000001 61'))).toEqual({ name: 'a' });
    expect(() => nbd.decodeServer(hex('00000002 61'))).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  });
});

describe('transmission', () => {
  test('request', () => {
    const bytes = hex('25609513 0001 0006 0102030405060708 7fffffffffffffff fffffffe');
    const request: nbd.Request = {
      flags: nbd.CommandFlag.FUA,
      command: nbd.Command.WRITE_ZEROES,
      cookie: 0x0102_0304_0506_0708n,
      offset: nbd.MAX_DEVICE_SIZE,
      length: 0xffff_fffen,
    };
    const into = new Uint8Array(28);
    nbd.encodeRequest(into, 0, request);
    expect(toHex(into)).toBe(toHex(bytes));
    expect(nbd.decodeRequest(bytes)).toEqual(request);
  });

  test('extended request', () => {
    const bytes = hex('21e41c71 0020 0007 ffffffffffffffff 0000000000000200 0000000100000000');
    const request: nbd.Request = {
      flags: nbd.CommandFlag.PAYLOAD_LEN,
      command: nbd.Command.BLOCK_STATUS,
      cookie: 2n ** 64n - 1n,
      offset: 512n,
      length: 2n ** 32n,
    };
    const into = new Uint8Array(32);
    nbd.encodeExtendedRequest(into, 0, request);
    expect(toHex(into)).toBe(toHex(bytes));
    expect(nbd.decodeExtendedRequest(bytes)).toEqual(request);
  });

  test('a length that only an extended request can carry is never cut to 32 bits', () => {
    const request = { flags: 0, command: nbd.Command.TRIM, cookie: 0n, offset: 0n, length: 2n ** 32n };
    expect(() => {
      nbd.encodeRequest(new Uint8Array(28), 0, request);
    }).toThrow(expect.objectContaining({ code: 'EOVERFLOW' }));
  });

  test.each([
    ['request', () => nbd.decodeRequest(hex('12560953').slice(0, 4))],
    ['request', () => nbd.decodeRequest(hex(`12560953 ${'00'.repeat(24)}`))],
    ['extended request', () => nbd.decodeExtendedRequest(hex(`25609513 ${'00'.repeat(28)}`))],
    ['simple reply', () => nbd.decodeSimpleReply(hex(`96744668 ${'00'.repeat(12)}`))],
    ['structured reply', () => nbd.decodeStructuredReply(hex(`67446698 ${'00'.repeat(16)}`))],
    ['extended reply', () => nbd.decodeExtendedReply(hex(`668e33ef ${'00'.repeat(28)}`))],
    ['reply', () => nbd.replyHeaderSize(hex('25609513'))],
  ])('a %s without its magic is refused', (_what, decode) => {
    expect(decode).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  });

  test('simple reply', () => {
    const bytes = hex('67446698 0000001c 00000000000000ff');
    const into = new Uint8Array(16);
    nbd.encodeSimpleReply(into, 0, nbd.ErrorValue.ENOSPC, 255n);
    expect(toHex(into)).toBe(toHex(bytes));
    expect(nbd.replyHeaderSize(bytes)).toBe(nbd.SIMPLE_REPLY_SIZE);
  });

  test('structured reply', () => {
    const bytes = hex('668e33ef 0001 8001 0000000000000001 00000006');
    const into = new Uint8Array(20);
    nbd.encodeStructuredReply(into, 0, nbd.ReplyFlag.DONE, nbd.ReplyType.ERROR, 1n, 6);
    expect(toHex(into)).toBe(toHex(bytes));
    expect(nbd.replyHeaderSize(bytes)).toBe(nbd.STRUCTURED_REPLY_SIZE);
    expect(() => {
      nbd.encodeStructuredReply(into, 0, 1, 1, 1n, 2 ** 32);
    }).toThrow(expect.objectContaining({ code: 'EOVERFLOW' }));
  });

  test('extended reply', () => {
    const bytes = hex('6e8a278c 0000 0001 0000000000000001 7fffffff00000000 0000000002000008');
    const into = new Uint8Array(32);
    nbd.encodeExtendedReply(into, 0, 0, nbd.ReplyType.OFFSET_DATA, 1n, 0x7fff_ffff_0000_0000n, 0x200_0008);
    expect(toHex(into)).toBe(toHex(bytes));
    expect(nbd.replyHeaderSize(bytes)).toBe(nbd.EXTENDED_REPLY_SIZE);
  });

  test('an extended reply of more bytes than a number can count is refused', () => {
    const bytes = hex('6e8a278c 0000 0001 0000000000000001 0000000000000000 0020000000000000');
    expect(() => nbd.decodeExtendedReply(bytes)).toThrow('9007199254740992 bytes');
  });

  test('hole', () => {
    const into = new Uint8Array(12);
    nbd.encodeOffsetHole(into, 0, 4096n, 512);
    expect(toHex(into)).toBe('000000000000100000000200');
    expect(() => nbd.decodeOffsetHole(hex('0000000000001000 00000000'))).toThrow('0 bytes');
    for (const length of [0, 2 ** 32]) {
      expect(() => {
        nbd.encodeOffsetHole(into, 0, 0n, length);
      }).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    }
  });

  test('block status', () => {
    const payload = hex('00000009 00001000 00000003 ffffffff 00000000');
    const into = new Uint8Array(20);
    nbd.encodeBlockStatusHeader(into, 0, 9);
    nbd.encodeExtent(into, 4, 4096n, nbd.ExtentFlag.HOLE | nbd.ExtentFlag.ZERO);
    nbd.encodeExtent(into, 12, 0xffff_ffffn, 0);
    expect(toHex(into)).toBe(toHex(payload));
    expect(nbd.decodeBlockStatusHeader(payload)).toEqual({ contextId: 9, count: 2 });
    expect(nbd.decodeExtent(payload, 0)).toEqual({ length: 4096n, flags: 3n });
    expect(() => nbd.decodeExtent(payload, 2)).toThrow(expect.objectContaining({ code: 'EPROTO' }));
    for (const length of [0n, 2n ** 32n]) {
      expect(() => {
        nbd.encodeExtent(into, 4, length, 0);
      }).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    }
  });

  test('extended block status', () => {
    const payload = hex('00000009 00000001 7000000000000000 0000000000000002');
    const into = new Uint8Array(24);
    nbd.encodeExtendedBlockStatusHeader(into, 0, 9, 1);
    nbd.encodeExtendedExtent(into, 8, 7n << 60n, 2n);
    expect(toHex(into)).toBe(toHex(payload));
    expect(nbd.decodeExtendedBlockStatusHeader(payload)).toEqual({ contextId: 9, count: 1 });
  });

  test.each([
    ['without extents', nbd.decodeBlockStatusHeader, '00000009'],
    ['with half an extent', nbd.decodeBlockStatusHeader, '00000009 00001000'],
    ['without extents, extended', nbd.decodeExtendedBlockStatusHeader, '00000009 00000000'],
    ['with fewer extents than announced', nbd.decodeExtendedBlockStatusHeader, '00000009 10000000'],
    [
      'with more extents than announced',
      nbd.decodeExtendedBlockStatusHeader,
      `00000009 00000001 ${'01'.repeat(32)}`,
    ],
  ])('a block status %s is refused', (_what, decode, text) => {
    expect(() => decode(hex(text))).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  });

  test('an empty extent is refused: a client would ask for it for ever', () => {
    expect(() => nbd.decodeExtent(hex('00000009 00000000 00000000'), 0)).toThrow('0 bytes');
    expect(() => nbd.decodeExtendedExtent(hex(`00000009 00000001 ${'00'.repeat(16)}`), 0)).toThrow('0 bytes');
  });

  test('payload of a block status request', () => {
    const bytes = hex('0000000100000000 00000001 00000002');
    expect(toHex(nbd.encodeBlockStatusPayload({ length: 2n ** 32n, contextIds: [1, 2] }))).toBe(toHex(bytes));
    expect(() => nbd.decodeBlockStatusPayload(bytes.subarray(0, 15))).toThrow(
      expect.objectContaining({ code: 'EPROTO' }),
    );
  });

  test('error chunks', () => {
    expect(toHex(nbd.encodeErrorChunk({ error: nbd.ErrorValue.EIO, message: 'ab' }))).toBe(
      '0000000500026162',
    );
    expect(toHex(nbd.encodeErrorOffsetChunk({ error: nbd.ErrorValue.EIO, message: '', offset: 512n }))).toBe(
      '0000000500000000000000000200',
    );
    expect(nbd.isErrorChunk(nbd.ReplyType.ERROR_OFFSET)).toBe(true);
    expect(nbd.isErrorChunk(nbd.ReplyType.BLOCK_STATUS_EXT)).toBe(false);
  });

  test.each([
    ['a message longer than the payload', nbd.decodeErrorChunk, '00000005 0003 6162'],
    ['success', nbd.decodeErrorChunk, '00000000 0000'],
    ['no offset', nbd.decodeErrorOffsetChunk, '00000005 0002 6162'],
    ['half an offset', nbd.decodeErrorOffsetChunk, '00000005 0002 6162 00000000'],
  ])('an error chunk with %s is refused', (_what, decode, text) => {
    expect(() => decode(hex(text))).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  });

  test('an error chunk of unknown type is read as far as all error chunks are alike', () => {
    expect(nbd.decodeErrorChunk(hex('00000005 0002 6162 deadbeef'))).toEqual({ error: 5, message: 'ab' });
  });

  test('a bad character in the message of an error does not lose the error', () => {
    expect(nbd.decodeErrorChunk(hex('0000001c 0002 61ff'))).toEqual({ error: 28, message: 'a\ufffd' });
  });
});
