import { isNbdError, NbdError } from '@nbd/protocol';
import type { Awaitable } from '@nbd/protocol';
import { checkValues, KEY, parseArguments } from './arguments.js';
import type { Signature, Values } from './arguments.js';
import { hostWithDefaults } from './host.js';
import type { GivenValues, Parameters, ParameterValues } from './parameter.js';
import type { PluginHost } from './plugin.js';

/** Version of what `definePlugin` and `defineFilter` make and the loader takes. */
export const PLUGIN_API_VERSION = 1;

/** Takes free `KEY=VALUE` words beside the parameters: just `true`, or with a line for `--help`. */
export type RestOption = boolean | { readonly help: string };

/** `rest`, for a plugin that takes it: the free `KEY=VALUE` words, in the order they were given. */
type WithRest<R extends RestOption, Rest> = R extends false ? unknown : Rest;

/** What a plugin gets: its parameters' values and, with `rest`, the free ones. */
export type PluginValues<P extends Parameters, R extends RestOption = false> = ParameterValues<P> &
  WithRest<R, { readonly rest: ReadonlyMap<string, string> }>;

/** What `create()` takes. */
export type PluginInput<P extends Parameters, R extends RestOption = false> = GivenValues<P> &
  WithRest<R, { readonly rest?: ReadonlyMap<string, string> }>;

/** What the definitions of plugins and filters have in common. */
export interface ModuleDefinition<P extends Parameters, R extends RestOption> {
  /**
   * What comes after `plugin-` or `filter-`: small letters, digits and dashes. Messages start with `plugin-NAME: ` or
   * `filter-NAME: `.
   */
  readonly name: string;
  readonly version?: string;
  /** One line for people. */
  readonly description: string;
  /** By the name that people type, in the order of `--help`. */
  readonly parameters?: P;
  /** Takes free `KEY=VALUE` words too, as `rest`. */
  readonly rest?: R;
  /** Command lines for `--help`: `plugin-ruler 1M`, `--filter=cow plugin-file disk.img`. */
  readonly examples?: readonly string[];
}

/** What a package exports as its default: how to set up a plugin or a filter. */
export interface Module<Input, Made> {
  readonly apiVersion: number;
  readonly name: string;
  readonly version: string | undefined;
  readonly description: string;
  readonly parameters: Parameters;
  readonly rest: RestOption;
  readonly examples: readonly string[];
  /**
   * Sets it up with words as on a command line: `['1M', 'label=x']`.
   * @throws NbdError EINVAL for words that do not fit; what its own `setup` throws.
   */
  fromArguments(words: readonly string[], host?: Partial<PluginHost>): Promise<Made>;
  /**
   * Sets it up with values.
   * @throws NbdError EINVAL for values that do not fit; what its own `setup` throws.
   */
  create(values: Input, host?: Partial<PluginHost>): Promise<Made>;
}

/**
 * Makes a module of a definition, branded for other copies of this package to recognise it.
 * @throws TypeError if the definition is wrong.
 */
export function defineModule<P extends Parameters, R extends RestOption, Made>(
  kind: 'plugin' | 'filter',
  brand: symbol,
  definition: ModuleDefinition<P, R>,
  setUp: (values: PluginValues<P, R>, host: PluginHost) => Awaitable<Made>,
): Module<PluginInput<P, R>, Made> {
  const { name, version, description, examples = [] } = definition;
  const parameters: Parameters = definition.parameters ?? {};
  const rest = definition.rest ?? false;
  const signature: Signature = { parameters, takesRest: rest !== false };
  checkDefinition(kind, name, signature);

  const prefix = `${kind}-${name}: `;
  const setUpWith = async (readValues: (cwd: string) => Values, options?: Partial<PluginHost>) => {
    const host = hostWithDefaults(options, prefix);
    try {
      return await setUp(readValues(host.cwd) as PluginValues<P, R>, host);
    } catch (error) {
      throw named(error, prefix);
    }
  };
  const module: Module<PluginInput<P, R>, Made> = {
    apiVersion: PLUGIN_API_VERSION,
    name,
    version,
    description,
    parameters,
    rest,
    examples,
    fromArguments: (words, host) => setUpWith((cwd) => parseArguments(signature, words, cwd), host),
    create: (values, host) => setUpWith((cwd) => checkValues(signature, values, cwd), host),
  };
  return Object.defineProperty(module, brand, { value: true });
}

function checkDefinition(kind: string, name: string, { parameters, takesRest }: Signature): void {
  if (!/^[a-z0-9][a-z0-9._-]*$/.test(name))
    throw new TypeError(`${kind} name '${name}' is not a package name`);
  if (name.startsWith(`${kind}-`)) throw new TypeError(`${kind} name '${name}': leave '${kind}-' out`);
  const label = `${kind}-${name}`;
  if (takesRest && Object.hasOwn(parameters, 'rest')) {
    throw new TypeError(`${label}: with 'rest', no parameter may have that name`);
  }
  let positionalList: string | undefined;
  for (const [key, parameter] of Object.entries(parameters)) {
    if (!KEY.test(`${key}=`)) throw new TypeError(`${label}: parameter '${key}' is not a name`);
    if (parameter.default !== undefined) parameter.check(parameter.default, { name: key, cwd: '/' });
    if (!parameter.positional) continue;
    if (positionalList !== undefined) {
      throw new TypeError(`${label}: ${positionalList} takes all words: '${key}' can't be positional too`);
    }
    if (parameter.repeatable) positionalList = key;
  }
}

/** With the module's name in front: the reader may have started several. */
function named(error: unknown, prefix: string): unknown {
  if (!isNbdError(error) || error.message.startsWith(prefix)) return error;
  const offset = error.offset === undefined ? {} : { offset: error.offset };
  return new NbdError(error.code, prefix + error.message, { cause: error, ...offset });
}
