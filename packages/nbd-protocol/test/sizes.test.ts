import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatSize, MAX_DEVICE_SIZE, parseSize } from '../src/index.js';

const UNITS = ['b', 'k', 'm', 'g', 't', 'p', 'e'];

describe('parseSize', () => {
  test.each([
    ['0', 0n],
    ['512', 512n],
    ['512b', 512n],
    ['512B', 512n],
    ['4k', 4096n],
    ['4K', 4096n],
    ['1KB', 1024n],
    ['1KiB', 1024n],
    ['1kib', 1024n],
    ['1M', 1_048_576n],
    ['1.5GB', 1_610_612_736n],
    ['1.5 GiB', 1_610_612_736n],
    ['1T', 1n << 40n],
    ['1P', 1n << 50n],
    ['7E', 7n << 60n],
    ['0.5k', 512n],
    ['0.0', 0n],
    ['010', 10n],
    ['2s', 1024n],
    ['2S', 1024n],
    ['0.5s', 256n],
    ['9007199254740993', 2n ** 53n + 1n],
    ['9223372036854775807', MAX_DEVICE_SIZE],
  ])('%j is %i bytes', (text, size) => {
    expect(parseSize(text)).toBe(size);
  });

  test.each([
    ['1.44M', 'whole'],
    ['7.9999999999999999991326382620115964527941E', 'whole'],
    ['1.1', 'whole'],
    ['0.3k', 'whole'],
    ['8E', '2^63'],
    ['9223372036854775808', '2^63'],
    ['18014398509481984s', '2^63'],
    ['', 'not a size'],
    ['k', 'not a size'],
    ['-1', 'not a size'],
    ['+1', 'not a size'],
    ['.5k', 'not a size'],
    ['1.', 'not a size'],
    ['1.5.5', 'not a size'],
    ['1,5G', 'not a size'],
    ['1_000', 'not a size'],
    ['1e3', 'not a size'],
    ['0x10', 'not a size'],
    ['1X', 'not a size'],
    ['1kk', 'not a size'],
    ['1ki', 'not a size'],
    ['1bB', 'not a size'],
    ['1sB', 'not a size'],
    [' 1', 'not a size'],
    ['1 ', 'not a size'],
    ['1k\n', 'not a size'],
    ['1  k', 'not a size'],
    ['١', 'not a size'],
    ['Infinity', 'not a size'],
  ])('%j is refused: %s', (text, reason) => {
    expect(() => parseSize(text)).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining(reason) as string }),
    );
  });

  test('a million digits are refused at once', () => {
    expect(() => parseSize('9'.repeat(1_000_000))).toThrow('1000000 characters');
  });

  test('the message repeats what the person wrote', () => {
    expect(() => parseSize('1X', { what: 'size' })).toThrow(/^size=1X is not a size; write one like /);
    expect(() => parseSize('1X')).toThrow(/^"1X" is not a size; write one like /);
  });

  test('every size in bytes is read exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: MAX_DEVICE_SIZE }), (size) => {
        expect(parseSize(String(size))).toBe(size);
      }),
    );
  });

  test('a unit multiplies by a power of 1024, exactly', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 6 }),
        fc.bigInt({ min: 0n, max: MAX_DEVICE_SIZE }),
        fc.boolean(),
        (power, size, upper) => {
          const count = size >> BigInt(10 * power);
          const unit = UNITS[power]!;
          expect(parseSize(`${count}${upper ? unit.toUpperCase() : unit}`)).toBe(count << BigInt(10 * power));
        },
      ),
    );
  });

  test('a fraction is read exactly or refused, never rounded', () => {
    const digits = fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 12 }).map((list) => list.join(''));
    fc.assert(
      fc.property(fc.nat({ max: 7 }), digits, fc.nat({ max: 6 }), (whole, fraction, power) => {
        const text = `${whole}.${fraction}${UNITS[power]!}`;
        const scaled = BigInt(`${whole}${fraction}`) << BigInt(10 * power);
        const scale = 10n ** BigInt(fraction.length);
        if (scaled % scale === 0n) expect(parseSize(text)).toBe(scaled / scale);
        else expect(() => parseSize(text)).toThrow('whole number of bytes');
      }),
    );
  });
});

describe('formatSize', () => {
  test.each([
    [0n, '0 B'],
    [1n, '1 B'],
    [1023n, '1023 B'],
    [1024n, '1 KiB'],
    [1536n, '1.5 KiB'],
    [1_474_560n, '1.4 MiB'],
    [5_476_083_302n, '5.1 GiB'],
    [1n << 40n, '1 TiB'],
    [(1n << 53n) + 1n, '8 PiB'],
    [1n << 60n, '1 EiB'],
    [3n << 59n, '1.5 EiB'],
    [8_070_450_532_247_928_832n, '7 EiB'],
    [MAX_DEVICE_SIZE, '8 EiB'],
  ])('%i is %s', (size, text) => {
    expect(formatSize(size)).toBe(text);
    expect(formatSize(Number(size))).toBe(text);
  });

  test('what is not a number is an error', () => {
    expect(() => formatSize(Number.NaN)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('what people read can be typed again, and is within 1 in 20 of the size', () => {
    fc.assert(
      fc.property(fc.nat({ max: 62 }), fc.bigInt({ min: 0n, max: MAX_DEVICE_SIZE }), (shift, large) => {
        const size = large >> BigInt(shift);
        const [, number = '', letter = ''] = /^(\d+(?:\.\d)?) ([KMGTPE]?)i?B$/.exec(formatSize(size)) ?? [];
        const shown = Number(number) * 1024 ** (letter === '' ? 0 : UNITS.indexOf(letter.toLowerCase()));
        expect(Math.abs(shown - Number(size))).toBeLessThanOrEqual(Number(size) / 20);
      }),
    );
  });
});
