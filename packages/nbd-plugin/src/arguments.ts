import { NbdError } from '@nbd/protocol';
import { nearest } from './nearest.js';
import type { GivenAs, Parameter, Parameters } from './parameter.js';

/** A plugin's parameters and whether it takes others. */
export interface Signature {
  readonly parameters: Parameters;
  readonly takesRest: boolean;
}

/** Values by name, for `rest` a map of the free ones. */
export type Values = Record<string, unknown>;

/**
 * Reads words as on a command line. `KEY=VALUE` gives a parameter by name; any other word is the value of the next
 * positional parameter that has none yet. What stands before the `=` counts as a key only if it looks like a name, so
 * that `( 0x55 )*4` or `1="x"` is a value.
 * @throws NbdError EINVAL
 */
export function parseArguments(
  { parameters, takesRest }: Signature,
  words: readonly string[],
  cwd: string,
): Values {
  const given = new Map<string, string[]>();
  const rest = new Map<string, string>();
  for (const word of words) {
    const key = KEY.exec(word)?.[1];
    if (key !== undefined && !Object.hasOwn(parameters, key)) {
      if (!takesRest) throw unknownKey(key, parameters, word);
      if (rest.has(key)) throw new NbdError('EINVAL', `${key} is given twice`);
      rest.set(key, word.slice(key.length + 1));
      continue;
    }
    const name = key ?? nextPositional(parameters, given);
    if (name === undefined) throw unexpectedWord(word, parameters);
    const value = key === undefined ? word : word.slice(key.length + 1);
    const earlier = given.get(name);
    if (earlier === undefined) given.set(name, [value]);
    else if (parameters[name]!.repeatable) earlier.push(value);
    else
      throw new NbdError('EINVAL', `${name} is given twice: as ${quote(earlier[0]!)} and as ${quote(value)}`);
  }
  const values = eachParameter(parameters, cwd, (parameter, as) => {
    const own = given.get(as.name);
    return own && parameter.parse(own, as);
  });
  return takesRest ? { ...values, rest } : values;
}

/**
 * Checks values given by a program.
 * @throws NbdError EINVAL
 */
export function checkValues({ parameters, takesRest }: Signature, given: Values, cwd: string): Values {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(parameters, key) && !(takesRest && key === 'rest')) throw unknownKey(key, parameters);
  }
  const values = eachParameter(parameters, cwd, (parameter, as) => {
    const own = given[as.name];
    return own === undefined ? undefined : parameter.check(own, as);
  });
  return takesRest ? { ...values, rest: given['rest'] ?? new Map<string, string>() } : values;
}

/** What may stand before the `=` of `KEY=VALUE`. */
export const KEY = /^([A-Za-z_][A-Za-z0-9_.-]*)=/;

function eachParameter(
  parameters: Parameters,
  cwd: string,
  valueOf: (parameter: Parameter<unknown>, given: GivenAs) => unknown,
): Values {
  const entries = Object.entries(parameters).map(([name, parameter]) => {
    const value = valueOf(parameter, { name, cwd });
    if (value === undefined && parameter.required) throw missing(name, parameter);
    const useDefault = value === undefined && parameter.default !== undefined;
    return [name, useDefault ? parameter.check(parameter.default, { name, cwd }) : value] as const;
  });
  return Object.fromEntries(entries);
}

function nextPositional(parameters: Parameters, given: ReadonlyMap<string, unknown>): string | undefined {
  const free = ([name, parameter]: [string, Parameters[string]]) =>
    parameter.positional && (parameter.repeatable || !given.has(name));
  return Object.entries(parameters).find(free)?.[0];
}

function missing(name: string, { type, help, positional }: Parameters[string]): NbdError {
  const say = positional ? `${name}=${type}, or just ${type},` : `${name}=${type}`;
  return new NbdError('EINVAL', `${say} is missing${help === '' ? '' : `: ${help}`}`);
}

function unknownKey(key: string, parameters: Parameters, word?: string): NbdError {
  const near = nearest(key, Object.keys(parameters));
  const positional = Object.entries(parameters).find(([, parameter]) => parameter.positional)?.[0];
  const advice = near !== undefined ? `Did you mean ${near}?` : takes(parameters);
  const asValue =
    word !== undefined && near === undefined && positional !== undefined
      ? ` If it is a value, write ${positional}=${quote(word)}.`
      : '';
  return new NbdError('EINVAL', `there is no parameter ${quote(key)}. ${advice}${asValue}`);
}

function unexpectedWord(word: string, parameters: Parameters): NbdError {
  const near = nearest(word, Object.keys(parameters));
  const advice = near === undefined ? takes(parameters) : `Did you mean ${near}=${parameters[near]!.type}?`;
  return new NbdError('EINVAL', `nothing takes the word ${quote(word)}. ${advice}`);
}

function takes(parameters: Parameters): string {
  const names = Object.keys(parameters);
  return names.length === 0 ? 'It takes no parameters.' : `Its parameters are ${names.join(', ')}.`;
}

function quote(word: string): string {
  return `'${word.length > 60 ? `${word.slice(0, 60)}…` : word}'`;
}
