import type { Module } from './define-module.js';
import type { Parameter } from './parameter.js';

/** One line of the `--help` of a plugin or a filter. */
export interface ParameterDescription {
  /** What is typed before the `=`; `KEY` for the free ones of a plugin that takes `rest`. */
  readonly name: string;
  /** What is typed after it: `SIZE`, `mbr|none`. */
  readonly type: string;
  readonly required: boolean;
  /** Its value may be given without the name. */
  readonly positional: boolean;
  /** May be given several times. */
  readonly repeatable: boolean;
  /** As it would be typed; undefined if there is none. */
  readonly default: string | undefined;
  /** One line, perhaps empty. */
  readonly help: string;
}

/** The parameters of a plugin or a filter for `--help`, in their own order. */
export function describeParameters({
  parameters,
  rest,
}: Pick<Module<unknown, unknown>, 'parameters' | 'rest'>): ParameterDescription[] {
  const rows = Object.entries(parameters).map(([name, parameter]) => ({
    name,
    type: parameter.type,
    required: parameter.required,
    positional: parameter.positional,
    repeatable: parameter.repeatable,
    default: defaultText(parameter),
    help: parameter.help,
  }));
  if (rest !== false) rows.push({ ...REST, help: rest === true ? '' : rest.help });
  return rows;
}

const REST = {
  name: 'KEY',
  type: 'VALUE',
  required: false,
  positional: false,
  repeatable: true,
  default: undefined,
};

function defaultText(parameter: Parameter<unknown>): string | undefined {
  return parameter.default === undefined ? undefined : parameter.format(parameter.default) || undefined;
}
