import { NbdError, parseSize } from '@nbd/protocol';
import type { GivenAs, Parameter } from './parameter.js';
import { resolvePath } from './resolve-path.js';
import { sizeWord } from './size-word.js';
import { parameterOf } from './value-type.js';
import type { AnyOptions, ParameterOptions, RangeOptions, Scalar, ValueType } from './value-type.js';

interface IsRequired {
  readonly required: true;
  readonly default?: undefined;
}
interface HasDefault<T> {
  readonly required?: false;
  readonly default: T;
}
interface MayBeAbsent {
  readonly required?: false;
  readonly default?: undefined;
}

/** Makes parameters of one type. With `required` or a `default`, the plugin always gets a value. */
export interface ParameterMaker<T, Extra = unknown> {
  (options: ParameterOptions & IsRequired & Extra): Parameter<T>;
  (options: ParameterOptions & HasDefault<T> & Extra): Parameter<T, T | undefined>;
  (options?: ParameterOptions & MayBeAbsent & Extra): Parameter<T | undefined>;
}

/**
 * Makes a type of parameter: `typeOf` is given the options that the type has of its own, such as `min`.
 *
 * ```ts
 * const color = parameterType<string>(() => ({
 *   type: 'COLOR',
 *   what: 'a color like #08f',
 *   read: (text) => text,
 *   is: (value) => typeof value === 'string' && /^#[0-9a-f]{3}$/i.test(value),
 *   format: String,
 * }));
 * ```
 */
export function parameterType<T extends Scalar, Extra = unknown>(
  typeOf: (options: Extra) => ValueType<T>,
): ParameterMaker<T, Extra> {
  const make = (options: AnyOptions<T> = {}) => parameterOf(typeOf(options as Extra), options);
  return make;
}

/**
 * A size or an offset in bytes, as a bigint: `512`, `4k`, `1.5GB`, `7E`, `2s` (sectors of 512 bytes).
 *
 * ```ts
 * parameters: { size: size({ required: true, positional: true, help: 'size of the disk' }) }
 * ```
 */
export const size: ParameterMaker<bigint, RangeOptions<bigint>> = parameterType<bigint, RangeOptions<bigint>>(
  (range) => ({
    type: 'SIZE',
    what: 'a size in bytes (a bigint)',
    read: (text, name) => parseSize(text, { what: name }),
    is: (value) => typeof value === 'bigint',
    format: sizeWord,
    range,
  }),
);

/** Text, as it is. */
export const string: ParameterMaker<string> = parameterType<string>(() => ({
  type: 'TEXT',
  what: 'a string',
  read: (text) => text,
  is: isString,
  format: String,
}));

/** The path of a file or a directory. The plugin gets an absolute one: relative paths start at `host.cwd`. */
export const path: ParameterMaker<string> = parameterType<string>(() => ({
  type: 'PATH',
  what: 'a path',
  read: (text) => text,
  is: (value) => isString(value) && value !== '',
  finish: (value, cwd) => resolvePath(cwd, value),
  format: String,
}));

/** A whole number between -(2^53 - 1) and 2^53 - 1, such as `12` or `0x0c`. */
export const integer: ParameterMaker<number, RangeOptions<number>> = parameterType<
  number,
  RangeOptions<number>
>((range) => ({
  type: 'INTEGER',
  what: 'a whole number within ±(2^53 - 1)',
  read: (text) => (/^([+-]?\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : undefined),
  is: (value) => Number.isSafeInteger(value),
  format: String,
  range,
}));

/** A number, such as `2.5`. */
export const number: ParameterMaker<number, RangeOptions<number>> = parameterType<
  number,
  RangeOptions<number>
>((range) => ({
  type: 'NUMBER',
  what: 'a number',
  read: (text) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined),
  is: (value) => Number.isFinite(value),
  format: String,
  range,
}));

/** Yes or no: `true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`. */
export const boolean: ParameterMaker<boolean> = parameterType<boolean>(() => ({
  type: 'true|false',
  what: 'true or false',
  read: (text) => BOOLEANS.get(text.toLowerCase()),
  is: (value) => typeof value === 'boolean',
  format: String,
}));

const BOOLEANS = new Map<string, boolean>([
  ...['true', 'yes', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', '0'].map((word) => [word, false] as const),
]);

/**
 * One of a few words.
 *
 * ```ts
 * parameters: { table: choice(['mbr', 'none'], { default: 'mbr', help: 'partition table' }) }
 * ```
 */
export function choice<const T extends string>(
  words: readonly T[],
  options: ParameterOptions & IsRequired,
): Parameter<T>;
export function choice<const T extends string>(
  words: readonly T[],
  options: ParameterOptions & HasDefault<NoInfer<T>>,
): Parameter<T, T | undefined>;
export function choice<const T extends string>(
  words: readonly T[],
  options?: ParameterOptions & MayBeAbsent,
): Parameter<T | undefined>;
export function choice(words: readonly string[], options: AnyOptions<string> = {}): unknown {
  const type: ValueType<string> = {
    type: words.join('|'),
    what: `one of ${words.join(', ')}`,
    read: (text) => text,
    is: (value) => isString(value) && words.includes(value),
    format: String,
  };
  return parameterOf(type, options);
}

/**
 * Several values of one type, one word each: `add=a.txt add=b.txt`. Without any, the plugin gets the default, or an
 * empty array. A positional list takes all words that are left, so it is the last positional parameter.
 *
 * ```ts
 * parameters: { add: list(path(), { help: 'file to add' }) }   // → readonly string[]
 * ```
 */
export function list<T>(
  item: Parameter<T | undefined>,
  options: ParameterOptions & IsRequired,
): Parameter<readonly T[]>;
export function list<T>(
  item: Parameter<T | undefined>,
  options?: ParameterOptions & (HasDefault<readonly NoInfer<T>[]> | MayBeAbsent),
): Parameter<readonly T[], readonly T[] | undefined>;
export function list<T>(item: Parameter<T>, options: AnyOptions<readonly T[]> = {}): unknown {
  if (item.required || item.positional || item.default !== undefined) {
    throw new TypeError("'required', 'positional' and 'default' belong to the list, not to its item");
  }
  const notEmpty = (values: readonly T[], { name }: GivenAs) => {
    if (options.required && values.length === 0)
      throw new NbdError('EINVAL', `${name} needs at least one value`);
    return values;
  };
  const parameter: Parameter<readonly T[]> = {
    type: item.type,
    help: options.help ?? item.help,
    required: options.required ?? false,
    positional: options.positional ?? false,
    repeatable: true,
    default: options.required ? undefined : (options.default ?? []),
    parse: (words, given) =>
      notEmpty(
        words.map((word) => item.parse([word], given)),
        given,
      ),
    check(values: unknown, given) {
      if (!Array.isArray(values)) throw new NbdError('EINVAL', `${given.name} is not an array`);
      return notEmpty(
        values.map((value: T) => item.check(value, given)),
        given,
      );
    },
    format: (values) => values.map((value) => item.format(value)).join(' '),
  };
  return parameter;
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}
