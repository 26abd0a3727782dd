import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as nbd from '../src/index.js';
import { messages } from './messages.js';

describe.each(messages)('$name', ({ values, encode, decode }) => {
  test('what was encoded decodes to itself', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decode(encode(value as never))).toEqual(value);
      }),
    );
  });

  test('a view into the middle of a buffer decodes like one of its own', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 0, max: 20 }), (value, before) => {
        const encoded = encode(value as never);
        const buffer = new Uint8Array(before + encoded.length + 5).fill(0xee);
        buffer.set(encoded, before);
        expect(decode(buffer.subarray(before, before + encoded.length))).toEqual(value);
      }),
    );
  });

  test('shared memory decodes like any other', () => {
    fc.assert(
      fc.property(values, (value) => {
        const encoded = encode(value as never);
        const shared = new Uint8Array(new SharedArrayBuffer(encoded.length));
        shared.set(encoded);
        expect(decode(shared)).toEqual(value);
      }),
      { numRuns: 20 },
    );
  });
});

test('headers are written and read where they are asked to be, and touch nothing else', () => {
  const request = { flags: 1, command: 2, cookie: 3n, offset: 4n, length: 5n };
  const reply = { flags: 1, type: 2, cookie: 3n, length: 4 };
  const cases: [
    number,
    (into: Uint8Array, at: number) => void,
    (bytes: Uint8Array, at: number) => unknown,
    unknown,
  ][] = [
    [
      28,
      (into, at) => {
        nbd.encodeRequest(into, at, request);
      },
      nbd.decodeRequest,
      request,
    ],
    [
      32,
      (into, at) => {
        nbd.encodeExtendedRequest(into, at, request);
      },
      nbd.decodeExtendedRequest,
      request,
    ],
    [
      16,
      (into, at) => {
        nbd.encodeSimpleReply(into, at, 5, 6n);
      },
      nbd.decodeSimpleReply,
      { error: 5, cookie: 6n },
    ],
    [
      20,
      (into, at) => {
        nbd.encodeStructuredReply(into, at, 1, 2, 3n, 4);
      },
      nbd.decodeStructuredReply,
      reply,
    ],
    [
      32,
      (into, at) => {
        nbd.encodeExtendedReply(into, at, 1, 2, 3n, 9n, 4);
      },
      nbd.decodeExtendedReply,
      { ...reply, offset: 9n },
    ],
    [
      8,
      (into, at) => {
        nbd.encodeOffsetDataPrefix(into, at, 7n);
      },
      nbd.decodeOffsetDataPrefix,
      7n,
    ],
    [
      12,
      (into, at) => {
        nbd.encodeOffsetHole(into, at, 7n, 8);
      },
      nbd.decodeOffsetHole,
      { offset: 7n, length: 8 },
    ],
  ];
  for (const [size, encode, decode, value] of cases) {
    const buffer = new Uint8Array(100).fill(0xee);
    encode(buffer, 33);
    expect(decode(buffer, 33)).toEqual(value);
    expect(buffer.subarray(0, 33).every((byte) => byte === 0xee)).toBe(true);
    expect(buffer.subarray(33 + size).every((byte) => byte === 0xee)).toBe(true);
    expect(() => {
      encode(buffer, 100 - size + 1);
    }).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  }
});
