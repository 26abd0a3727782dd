import { isNbdError, NbdError } from '@nbd/protocol';
import type { GivenAs, Parameter } from './parameter.js';
import { resolvePath } from './resolve-path.js';
import { formatSize, parseSize } from './size.js';

/** What every kind of parameter takes. */
export interface ParameterOptions {
  /** One line for `--help`. */
  readonly help?: string;
  /** Its value may be given without `KEY=`: the words without a key go to the positional parameters in their order. */
  readonly positional?: boolean;
}

/** For amounts: the values from `min` to `max`, both included. */
export interface RangeOptions<T> {
  readonly min?: T;
  readonly max?: T;
}

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
 * A size or an offset in bytes, as a bigint: `512`, `4k`, `1.5GB`, `7E`, `2s` (sectors of 512 bytes).
 *
 * ```ts
 * parameters: { size: size({ required: true, positional: true, help: 'size of the disk' }) }
 * ```
 */
export const size: ParameterMaker<bigint, RangeOptions<bigint>> = maker((range: RangeOptions<bigint>) => ({
  type: 'SIZE',
  what: 'a size in bytes (a bigint)',
  read: parseSize,
  is: (value) => typeof value === 'bigint',
  format: formatSize,
  range,
}));

/** Text, as it is. */
export const string: ParameterMaker<string> = maker(() => ({
  type: 'TEXT',
  what: 'a string',
  read: (text) => text,
  is: isString,
  format: String,
}));

/** The path of a file or a directory. The plugin gets an absolute one: relative paths start at `host.cwd`. */
export const path: ParameterMaker<string> = maker(() => ({
  type: 'PATH',
  what: 'a path',
  read: (text) => text,
  is: (value) => isString(value) && value !== '',
  finish: (value, cwd) => resolvePath(cwd, value),
  format: String,
}));

/** A whole number between -(2^53 - 1) and 2^53 - 1, such as `12` or `0x0c`. */
export const integer: ParameterMaker<number, RangeOptions<number>> = maker((range: RangeOptions<number>) => ({
  type: 'INTEGER',
  what: 'a whole number within ±(2^53 - 1)',
  read: (text) => (/^([+-]?\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : undefined),
  is: (value) => Number.isSafeInteger(value),
  format: String,
  range,
}));

/** A number, such as `2.5`. */
export const number: ParameterMaker<number, RangeOptions<number>> = maker((range: RangeOptions<number>) => ({
  type: 'NUMBER',
  what: 'a number',
  read: (text) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined),
  is: (value) => Number.isFinite(value),
  format: String,
  range,
}));

/** Yes or no: `true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`. */
export const boolean: ParameterMaker<boolean> = maker(() => ({
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
  return single(options, {
    type: words.join('|'),
    what: `one of ${words.join(', ')}`,
    read: (text) => text,
    is: (value) => isString(value) && words.includes(value),
    format: String,
  });
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

type Scalar = bigint | number | string | boolean;

/** How values of one type are read and checked. */
interface ValueType<T extends Scalar> {
  readonly type: string;
  /** For the message `KEY=WORD is not …`. */
  readonly what: string;
  readonly range?: RangeOptions<T>;
  /** The value of a word; undefined if it is none of this type. */
  read(text: string): T | undefined;
  is(value: unknown): boolean;
  /** What the plugin gets for a value that was checked. */
  finish?(value: T, cwd: string): T;
  format(value: T): string;
}

type AnyOptions<T> = ParameterOptions & { readonly required?: boolean; readonly default?: T | undefined };

function maker<T extends Scalar, Extra>(typeOf: (options: Extra) => ValueType<T>): ParameterMaker<T, Extra> {
  const make = (options: AnyOptions<T> = {}) => single(options, typeOf(options as Extra));
  return make as ParameterMaker<T, Extra>;
}

function single<T extends Scalar>(options: AnyOptions<T>, type: ValueType<T>): Parameter<T> {
  const check = (value: unknown, label: string, cwd: string): T => {
    if (!type.is(value)) throw new NbdError('EINVAL', `${label} is not ${type.what}`);
    const problem = outside(value as T, type);
    if (problem !== undefined) throw new NbdError('EINVAL', `${label} ${problem}`);
    return type.finish ? type.finish(value as T, cwd) : (value as T);
  };
  return {
    type: type.type,
    help: [options.help, limits(type)].filter(Boolean).join(', '),
    required: options.required ?? false,
    positional: options.positional ?? false,
    repeatable: false,
    default: options.default,
    parse([word = ''], { name, cwd }) {
      const label = `${name}=${short(word)}`;
      return check(readWord(type, word, label), label, cwd);
    },
    check: (value: unknown, { name, cwd }) => check(value, `${name}=${short(String(value))}`, cwd),
    format: (value) => type.format(value),
  };
}

function readWord<T extends Scalar>(type: ValueType<T>, word: string, label: string): T | undefined {
  try {
    return type.read(word);
  } catch (error) {
    throw isNbdError(error) ? new NbdError('EINVAL', `${label}: ${error.message}`, { cause: error }) : error;
  }
}

function outside<T extends Scalar>(value: T, { range = {}, format }: ValueType<T>): string | undefined {
  const { min, max } = range;
  const below = min !== undefined && value < min;
  const above = max !== undefined && value > max;
  if (!below && !above) return undefined;
  if (min !== undefined && max !== undefined) return `is not between ${format(min)} and ${format(max)}`;
  return below ? `is less than ${format(min)}` : `is more than ${format(max as T)}`;
}

function limits<T extends Scalar>({ range = {}, format }: ValueType<T>): string | undefined {
  const { min, max } = range;
  if (min !== undefined && max !== undefined) return `${format(min)} to ${format(max)}`;
  if (min !== undefined) return `at least ${format(min)}`;
  return max === undefined ? undefined : `at most ${format(max)}`;
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** Words can be whole disks (plugin-data): messages show their start. */
function short(word: string): string {
  return word.length > 60 ? `${word.slice(0, 60)}…` : word;
}
