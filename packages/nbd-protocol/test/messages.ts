import fc from 'fast-check';
import * as nbd from '../src/index.js';

/** One message of the protocol document: how to make values of it, and its codec as functions of whole bytes. */
export interface Message {
  readonly name: string;
  readonly values: fc.Arbitrary<unknown>;
  readonly encode: (value: never) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

const uint16 = fc.integer({ min: 0, max: 0xffff });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const uint64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const bytes = fc.uint8Array({ maxLength: 100 });

/** What may be a name: any Unicode but NUL, up to the limit, which is reached now and then. */
export const names = fc.oneof(
  { weight: 9, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }).map(withoutNul) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 4000, max: nbd.MAX_STRING_LENGTH }).map((length) => 'n'.repeat(length)),
  },
);

export const messages: readonly Message[] = [
  message({
    name: 'newstyle greeting',
    values: fc.record({ style: fc.constant('newstyle'), flags: uint16 }),
    encode: nbd.encodeGreeting,
    decode: nbd.decodeGreeting,
  }),
  message({
    name: 'oldstyle greeting',
    values: fc.record({ style: fc.constant('oldstyle'), size: uint64, flags: uint32 }),
    encode: nbd.encodeGreeting,
    decode: nbd.decodeGreeting,
  }),
  message({
    name: "client's flags",
    values: uint32,
    encode: nbd.encodeClientFlags,
    decode: nbd.decodeClientFlags,
  }),
  message({
    name: 'option',
    values: fc.record({ option: uint32, data: bytes }),
    encode: ({ option, data }) => nbd.encodeOption(option, data),
    decode: (encoded) => {
      const { option, length } = nbd.decodeOptionHeader(encoded);
      return { option, data: encoded.subarray(nbd.OPTION_HEADER_SIZE, nbd.OPTION_HEADER_SIZE + length) };
    },
  }),
  message({
    name: 'option reply',
    values: fc.record({ option: uint32, type: uint32, data: bytes }),
    encode: ({ option, type, data }) => nbd.encodeOptionReply(option, type, data),
    decode: (encoded) => {
      const { option, type, length } = nbd.decodeOptionReplyHeader(encoded);
      const start = nbd.OPTION_REPLY_HEADER_SIZE;
      return { option, type, data: encoded.subarray(start, start + length) };
    },
  }),
  message({
    name: 'reply to an export name, with zeroes',
    values: fc.record({ size: uint64, flags: uint16 }),
    encode: (reply) => nbd.encodeExportNameReply(reply, true),
    decode: nbd.decodeExportNameReply,
  }),
  message({
    name: 'reply to an export name, without zeroes',
    values: fc.record({ size: uint64, flags: uint16 }),
    encode: (reply) => nbd.encodeExportNameReply(reply, false),
    decode: nbd.decodeExportNameReply,
  }),
  message({
    name: 'export name',
    values: names,
    encode: nbd.encodeString,
    decode: nbd.decodeString,
  }),
  message({
    name: 'error message of an option reply',
    values: names,
    encode: nbd.encodeMessage,
    decode: nbd.decodeMessage,
  }),
  message({
    name: 'request for info',
    values: fc.record({ name: names, infos: fc.array(uint16) }),
    encode: nbd.encodeInfoRequest,
    decode: nbd.decodeInfoRequest,
  }),
  message({
    name: 'request for meta contexts',
    values: fc.record({ name: names, queries: fc.array(names, { maxLength: 20 }) }),
    encode: nbd.encodeMetaContextRequest,
    decode: nbd.decodeMetaContextRequest,
  }),
  message({
    name: 'listed export',
    values: fc.record(
      { name: names, description: names.filter((text) => text !== '') },
      { requiredKeys: ['name'] },
    ),
    encode: nbd.encodeServer,
    decode: nbd.decodeServer,
  }),
  message<nbd.Info>({
    name: 'info',
    values: fc.oneof(
      fc.record({ kind: fc.constant('export' as const), size: uint64, flags: uint16 }),
      fc.record({ kind: fc.constant('name' as const), name: names }),
      fc.record({ kind: fc.constant('description' as const), description: names }),
      fc.record({
        kind: fc.constant('block-size' as const),
        minimum: uint32,
        preferred: uint32,
        maximum: uint32,
      }),
      fc.record({
        kind: fc.constant('unknown' as const),
        type: fc.integer({ min: 4, max: 0xffff }),
        data: bytes,
      }),
    ),
    encode: nbd.encodeInfo,
    decode: nbd.decodeInfo,
  }),
  message({
    name: 'meta context',
    values: fc.record({ id: uint32, name: names }),
    encode: nbd.encodeMetaContext,
    decode: nbd.decodeMetaContext,
  }),
  message<nbd.Request>({
    name: 'request',
    values: fc.record({
      flags: uint16,
      command: uint16,
      cookie: uint64,
      offset: uint64,
      length: fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
    }),
    encode: (request) =>
      inBytes(nbd.REQUEST_SIZE, (into) => {
        nbd.encodeRequest(into, 0, request);
      }),
    decode: nbd.decodeRequest,
  }),
  message<nbd.Request>({
    name: 'extended request',
    values: fc.record({ flags: uint16, command: uint16, cookie: uint64, offset: uint64, length: uint64 }),
    encode: (request) =>
      inBytes(nbd.EXTENDED_REQUEST_SIZE, (into) => {
        nbd.encodeExtendedRequest(into, 0, request);
      }),
    decode: nbd.decodeExtendedRequest,
  }),
  message({
    name: 'payload of a block status request',
    values: fc.record({ length: uint64, contextIds: fc.array(uint32) }),
    encode: nbd.encodeBlockStatusPayload,
    decode: nbd.decodeBlockStatusPayload,
  }),
  message<nbd.SimpleReply>({
    name: 'simple reply',
    values: fc.record({ error: uint32, cookie: uint64 }),
    encode: ({ error, cookie }) =>
      inBytes(nbd.SIMPLE_REPLY_SIZE, (into) => {
        nbd.encodeSimpleReply(into, 0, error, cookie);
      }),
    decode: nbd.decodeSimpleReply,
  }),
  message<nbd.StructuredReply>({
    name: 'structured reply',
    values: fc.record({ flags: uint16, type: uint16, cookie: uint64, length: uint32 }),
    encode: ({ flags, type, cookie, length }) =>
      inBytes(nbd.STRUCTURED_REPLY_SIZE, (into) => {
        nbd.encodeStructuredReply(into, 0, flags, type, cookie, length);
      }),
    decode: nbd.decodeStructuredReply,
  }),
  message<nbd.ExtendedReply>({
    name: 'extended reply',
    values: fc.record({
      flags: uint16,
      type: uint16,
      cookie: uint64,
      offset: uint64,
      length: fc.maxSafeNat(),
    }),
    encode: ({ flags, type, cookie, offset, length }) =>
      inBytes(nbd.EXTENDED_REPLY_SIZE, (into) => {
        nbd.encodeExtendedReply(into, 0, flags, type, cookie, offset, length);
      }),
    decode: nbd.decodeExtendedReply,
  }),
  message({
    name: 'OFFSET_DATA chunk',
    values: uint64,
    encode: (offset) =>
      inBytes(nbd.OFFSET_DATA_PREFIX_SIZE, (into) => {
        nbd.encodeOffsetDataPrefix(into, 0, offset);
      }),
    decode: nbd.decodeOffsetDataPrefix,
  }),
  message<nbd.OffsetHole>({
    name: 'OFFSET_HOLE chunk',
    values: fc.record({ offset: uint64, length: fc.integer({ min: 1, max: 0xffff_ffff }) }),
    encode: ({ offset, length }) =>
      inBytes(nbd.OFFSET_HOLE_SIZE, (into) => {
        nbd.encodeOffsetHole(into, 0, offset, length);
      }),
    decode: nbd.decodeOffsetHole,
  }),
  message({
    name: 'BLOCK_STATUS chunk',
    values: fc.record({
      contextId: uint32,
      extents: fc.array(
        fc.record({
          length: fc.bigInt({ min: 1n, max: 0xffff_ffffn }),
          flags: fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
        }),
        { minLength: 1 },
      ),
    }),
    encode: ({ contextId, extents }) =>
      inBytes(nbd.BLOCK_STATUS_HEADER_SIZE + nbd.EXTENT_SIZE * extents.length, (into) => {
        nbd.encodeBlockStatusHeader(into, 0, contextId);
        let at = nbd.BLOCK_STATUS_HEADER_SIZE;
        for (const { length, flags } of extents) {
          nbd.encodeExtent(into, at, length, Number(flags));
          at += nbd.EXTENT_SIZE;
        }
      }),
    decode: (payload) => {
      const { contextId, count } = nbd.decodeBlockStatusHeader(payload);
      return {
        contextId,
        extents: Array.from({ length: count }, (_, index) => nbd.decodeExtent(payload, index)),
      };
    },
  }),
  message({
    name: 'BLOCK_STATUS_EXT chunk',
    values: fc.record({
      contextId: uint32,
      extents: fc.array(
        fc.record({ length: fc.bigInt({ min: 1n, max: 0xffff_ffff_ffff_ffffn }), flags: uint64 }),
        { minLength: 1 },
      ),
    }),
    encode: ({ contextId, extents }) =>
      inBytes(nbd.EXTENDED_BLOCK_STATUS_HEADER_SIZE + nbd.EXTENDED_EXTENT_SIZE * extents.length, (into) => {
        nbd.encodeExtendedBlockStatusHeader(into, 0, contextId, extents.length);
        let at = nbd.EXTENDED_BLOCK_STATUS_HEADER_SIZE;
        for (const { length, flags } of extents) {
          nbd.encodeExtendedExtent(into, at, length, flags);
          at += nbd.EXTENDED_EXTENT_SIZE;
        }
      }),
    decode: (payload) => {
      const { contextId, count } = nbd.decodeExtendedBlockStatusHeader(payload);
      const extents = Array.from({ length: count }, (_, index) => nbd.decodeExtendedExtent(payload, index));
      return { contextId, extents };
    },
  }),
  message({
    name: 'ERROR chunk',
    values: fc.record({ error: fc.integer({ min: 1, max: 0xffff_ffff }), message: names }),
    encode: nbd.encodeErrorChunk,
    decode: nbd.decodeErrorChunk,
  }),
  message({
    name: 'ERROR_OFFSET chunk',
    values: fc.record({ error: fc.integer({ min: 1, max: 0xffff_ffff }), message: names, offset: uint64 }),
    encode: nbd.encodeErrorOffsetChunk,
    decode: nbd.decodeErrorOffsetChunk,
  }),
];

/** Checks that the parts fit each other, before their type is forgotten. */
function message<Value>(parts: {
  readonly name: string;
  readonly values: fc.Arbitrary<Value>;
  readonly encode: (value: Value) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}): Message {
  return { ...parts, decode: (encoded) => parts.decode(encoded) };
}

function inBytes(size: number, encode: (into: Uint8Array) => void): Uint8Array {
  const into = new Uint8Array(size);
  encode(into);
  return into;
}

function withoutNul(text: string): string {
  return text.replaceAll('\0', '');
}
