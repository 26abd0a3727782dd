import { NbdError } from '@nbd/protocol';
import type { Parameter } from './parameter.js';

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

/** The options as an implementation sees them. */
export type AnyOptions<T> = ParameterOptions & {
  readonly required?: boolean;
  readonly default?: T | undefined;
};

export type Scalar = bigint | number | string | boolean;

/** How values of one type are read and checked. */
export interface ValueType<T extends Scalar> {
  readonly type: string;
  /** Ends the message `KEY=WORD is not …`. */
  readonly what: string;
  readonly range?: RangeOptions<T>;
  /** The value of the word after `NAME=`; undefined, or an NbdError that says why, if it is none of this type. */
  readonly read: (text: string, name: string) => T | undefined;
  readonly is: (value: unknown) => boolean;
  /** What the plugin gets for a value that was checked. */
  readonly finish?: (value: T, cwd: string) => T;
  readonly format: (value: T) => string;
}

/** A parameter that has one value of this type. */
export function parameterOf<T extends Scalar>(type: ValueType<T>, options: AnyOptions<T>): Parameter<T> {
  const check = (value: unknown, label: string, cwd: string): T => {
    const problem = type.is(value) ? outside(value as T, type) : `is not ${type.what}`;
    if (problem !== undefined) throw new NbdError('EINVAL', `${label} ${problem}`);
    return type.finish ? type.finish(value as T, cwd) : (value as T);
  };
  return {
    type: type.type,
    help: helpWithLimits(options.help, limits(type)),
    required: options.required ?? false,
    positional: options.positional ?? false,
    repeatable: false,
    default: options.default,
    parse([word = ''], { name, cwd }) {
      return check(type.read(word, name), `${name}=${short(word)}`, cwd);
    },
    check: (value: unknown, { name, cwd }) => check(value, `${name}=${short(String(value))}`, cwd),
    format: type.format,
  };
}

function outside<T extends Scalar>(value: T, { range = {}, format }: ValueType<T>): string | undefined {
  const { min, max } = range;
  const below = min !== undefined && value < min;
  const above = max !== undefined && value > max;
  if (!below && !above) return undefined;
  if (min !== undefined && max !== undefined) return `is not between ${format(min)} and ${format(max)}`;
  return below ? `is less than ${format(min)}` : `is more than ${format(max!)}`;
}

function limits<T extends Scalar>({ range = {}, format }: ValueType<T>): string | undefined {
  const { min, max } = range;
  if (min !== undefined && max !== undefined) return `${format(min)} to ${format(max)}`;
  if (min !== undefined) return `at least ${format(min)}`;
  return max === undefined ? undefined : `at most ${format(max)}`;
}

function helpWithLimits(help = '', limit: string | undefined): string {
  if (limit === undefined) return help;
  return help === '' ? limit : `${help} (${limit})`;
}

/** Words can be whole disks (plugin-data): messages show their start. */
function short(word: string): string {
  return word.length > 60 ? `${word.slice(0, 60)}…` : word;
}
