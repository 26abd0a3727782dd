import { MAX_DEVICE_SIZE, parseSize } from '@nbd/protocol';
import { errorAt, type Source } from './source.js';

/** A number read from a text, and the index where it ends. */
export interface Scanned {
  readonly value: bigint;
  readonly end: number;
}

/**
 * Reads an integer as C does: `0x1f`, `017` or `15`. So `08` is a `0`, and what comes next is an `8`.
 * @param max largest value that makes sense here.
 * @returns undefined where no number stands.
 */
export function scanInteger(source: Source, at: number, max: bigint): Scanned | undefined {
  INTEGER.lastIndex = at;
  const digits = INTEGER.exec(source.text)?.[0];
  if (digits === undefined) return undefined;
  const end = at + digits.length;
  if (digits === '0' && /^x/i.test(source.text.charAt(end))) {
    throw errorAt({ source, at }, 'expected hexadecimal digits after 0x');
  }
  const value = valueOf(digits);
  if (value > max) throw errorAt({ source, at }, `${shorten(digits)} is more than ${String(max)}`);
  return { value, end };
}

/**
 * Reads a number of bytes or a count, 0 to 2^63 - 1: an integer, or one with a unit of size such as `4k` or `1M`.
 * Whitespace and a `+` may stand in front.
 * @param what what the number is, for messages: `an offset`.
 */
export function scanSize(source: Source, at: number, what: string): Scanned {
  SPACE_AND_SIGN.lastIndex = at;
  const lead = SPACE_AND_SIGN.exec(source.text)?.[0] ?? '';
  const start = at + lead.length;
  if (lead.endsWith('-')) throw errorAt({ source, at: start - 1 }, `${what} can't be below zero`);
  const integer = scanInteger(source, start, MAX_DEVICE_SIZE);
  if (integer === undefined)
    throw errorAt({ source, at: start }, `expected ${what}, such as 512, 0x200 or 4k`);

  UNIT.lastIndex = integer.end;
  const unit = UNIT.exec(source.text)?.[0];
  if (unit === undefined) return integer;
  const value = integer.value * parseSize(`1${unit}`);
  if (value > MAX_DEVICE_SIZE) throw errorAt({ source, at: start }, `${what} can't be over 2^63 - 1`);
  return { value, end: integer.end + unit.length };
}

const INTEGER = /0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*/iy;
const SPACE_AND_SIGN = /[ \t\n\v\f\r]*[+-]?/y;
/** A `b` that begins a word, as in `1*16be16:5`, is no unit. */
const UNIT = /[kmgtpe](?:i?b(?!e(?:16|32|64):))?|s|b(?!e(?:16|32|64):)/iy;

function valueOf(digits: string): bigint {
  const [, zeroes = '', significant = ''] = /^(0x0*|0*)(.*)$/i.exec(digits)!;
  // Over 2^64 it does not matter how much: making a bigint of a megabyte of digits takes long.
  if (significant.length > 64) return 1n << 64n;
  const prefix = zeroes === '' ? '' : /x/i.test(zeroes) ? '0x' : '0o';
  return BigInt(`${prefix}0${significant}`);
}

function shorten(digits: string): string {
  return digits.length > 24 ? `${digits.slice(0, 24)}…` : digits;
}
