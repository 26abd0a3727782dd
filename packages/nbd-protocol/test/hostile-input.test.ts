import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isNbdError, parseSize, parseUri } from '../src/index.js';
import { messages } from './messages.js';

describe.each(messages)('$name', ({ values, encode, decode }) => {
  test('arbitrary bytes give a value or an NbdError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expectValueOrEproto(() => decode(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test('a message that was cut off gives a value or an NbdError', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (value, part) => {
        const encoded = encode(value as never);
        expectValueOrEproto(() => decode(encoded.subarray(0, Math.floor(part * encoded.length))));
      }),
    );
  });

  test('a message with bytes changed gives a value or an NbdError', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(values, changes, (value, list) => {
        const encoded = encode(value as never);
        for (const [index, byte] of list) encoded[index % encoded.length] = byte;
        expectValueOrEproto(() => decode(encoded));
      }),
      { numRuns: 500 },
    );
  });

  test('a length that announces 4 GiB allocates nothing', () => {
    fc.assert(
      fc.property(values, (value) => {
        const encoded = encode(value as never);
        for (let at = 0; at + 4 <= encoded.length && at < 64; at++) {
          const changed = encoded.slice();
          changed.fill(0xff, at, at + 4);
          const before = process.memoryUsage();
          expectValueOrEproto(() => decode(changed));
          const after = process.memoryUsage();
          expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1 << 20);
          expect(after.heapUsed - before.heapUsed).toBeLessThan(1 << 24);
        }
      }),
      { numRuns: 10 },
    );
  });
});

test('any text gives a URI or an NbdError', () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom(
        'nbd',
        's',
        '+unix',
        '://',
        '/',
        '?',
        '#',
        '@',
        ':',
        '[',
        ']',
        '%',
        '%00',
        '=',
        '&',
        ';',
        '::1',
      ),
      fc.constantFrom('socket', 'tls-type', 'tls-verify-peer', 'tls-hostname', 'psk', '\ud800', '\0', 'é'),
      fc.string({ unit: 'binary', maxLength: 5 }),
    ),
  );
  fc.assert(
    fc.property(pieces, fc.boolean(), (parts, valid) => {
      expectValueOr(['EINVAL', 'ENOTSUP'], () => parseUri((valid ? 'nbd://' : '') + parts.join('')));
    }),
    { numRuns: 2000 },
  );
});

test('any text gives a size or an NbdError', () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom('1', '0', '.', 'k', 'E', 'iB', 's', ' ', '-'),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
  );
  fc.assert(
    fc.property(pieces, (parts) => {
      expectValueOr(['EINVAL'], () => parseSize(parts.join('')));
    }),
    { numRuns: 2000 },
  );
});

function expectValueOrEproto(decode: () => unknown): void {
  expectValueOr(['EPROTO'], decode);
}

function expectValueOr(codes: readonly string[], produce: () => unknown): void {
  try {
    expect(produce()).toBeDefined();
  } catch (error) {
    if (!isNbdError(error)) throw error;
    expect(codes).toContain(error.code);
    expect(error.message).not.toBe('');
  }
}
