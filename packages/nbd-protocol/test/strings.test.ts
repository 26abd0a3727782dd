import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage, decodeString, encodeMessage, encodeString, MAX_STRING_LENGTH } from '../src/index.js';
import { hex } from './bytes.js';

test('the limit of a string counts bytes, not characters', () => {
  expect(encodeString('é'.repeat(MAX_STRING_LENGTH / 2))).toHaveLength(MAX_STRING_LENGTH);
  expect(() => encodeString('é'.repeat(MAX_STRING_LENGTH / 2) + 'e')).toThrow('4097 bytes');
});

test.each([
  ['a NUL', 'a\0b'],
  ['half a surrogate pair', 'a\ud83d'],
  ['the wrong half of a surrogate pair', '\udcbe\ud83d'],
])('a string with %s is refused, rather than altered', (_what, text) => {
  expect(() => encodeString(text)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

test.each([
  ['a NUL', '610062'],
  ['a byte that is never UTF-8', '61ff'],
  ['a character cut off', '61c3'],
  ['an overlong slash', 'c0af'],
  ['a surrogate', 'eda0bd'],
])('bytes with %s are no string', (_what, text) => {
  expect(() => decodeString(hex(text))).toThrow(expect.objectContaining({ code: 'EPROTO' }));
});

test('4097 bytes are no string and no message', () => {
  const bytes = new Uint8Array(MAX_STRING_LENGTH + 1).fill(0x61);
  expect(() => decodeString(bytes)).toThrow(expect.objectContaining({ code: 'EPROTO' }));
  expect(() => decodeMessage(bytes)).toThrow(expect.objectContaining({ code: 'EPROTO' }));
});

test('a byte order mark is a character of the name', () => {
  expect(decodeString(hex('efbbbf61'))).toBe('\ufeffa');
  expect(decodeMessage(hex('efbbbf61'))).toBe('\ufeffa');
});

test('a message that is too long is cut between characters', () => {
  const bytes = encodeMessage('a' + 'é'.repeat(MAX_STRING_LENGTH));
  expect(bytes).toHaveLength(MAX_STRING_LENGTH - 1);
  expect(decodeString(bytes)).toMatch(/^aé+$/);
});

test('every text can be a message, and arrives as a string', () => {
  const anything = fc.array(
    fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\0', '\ud800', '\udfff')),
  );
  fc.assert(
    fc.property(anything, (parts) => {
      const text = parts.join('');
      expect(decodeString(encodeMessage(text))).toBe(text.replaceAll(/\0|\p{Surrogate}/gu, '\ufffd'));
    }),
  );
});
