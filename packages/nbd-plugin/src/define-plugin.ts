import { isNbdError, NbdError } from '@nbd/protocol';
import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { checkValues, KEY, parseArguments } from './arguments.js';
import type { Signature, Values } from './arguments.js';
import { hostWithDefaults } from './host.js';
import type { GivenValues, Parameters, ParameterValues } from './parameter.js';
import type { Connection, ExportInfo, OpenRequest, Plugin, PluginHost } from './plugin.js';

/** Version of what `definePlugin` makes and the loader takes. */
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

/** What an author writes. */
export interface PluginDefinition<P extends Parameters, R extends RestOption, State> {
  /** What comes after `plugin-`: small letters, digits and dashes. Messages start with `plugin-NAME: `. */
  readonly name: string;
  readonly version?: string;
  /** One line for people. */
  readonly description: string;
  /** By the name that people type, in the order of `--help`. */
  readonly parameters?: P;
  /** Takes free `KEY=VALUE` words too, as `rest`. */
  readonly rest?: R;
  /** Command lines for `--help`: `plugin-ruler 1M`. */
  readonly examples?: readonly string[];
  /**
   * Called once, before anything is opened. What it returns is handed to the other methods as `state`; without
   * `setup` that is the parameters. Stands before the other methods, for TypeScript to know the type of `state`.
   */
  setup?(parameters: PluginValues<P, R>, host: PluginHost): Awaitable<State>;
  /** See {@link Plugin.exports}. */
  exports?(connection: Connection, state: NoInfer<State>): Awaitable<readonly ExportInfo[] | undefined>;
  /** See {@link Plugin.open}. */
  open(request: OpenRequest, state: NoInfer<State>): Awaitable<BlockDevice>;
  /** See {@link Plugin.close}. */
  close?(state: NoInfer<State>): Awaitable<void>;
}

const BRAND = Symbol.for('@nbd/plugin:PluginModule');

/** What a plugin package exports as its default: made by {@link definePlugin}. */
export interface PluginModule<Input = Record<string, unknown>> {
  readonly apiVersion: number;
  readonly name: string;
  readonly version: string | undefined;
  readonly description: string;
  readonly parameters: Parameters;
  readonly rest: RestOption;
  readonly examples: readonly string[];
  /**
   * Sets the plugin up with words as on a command line: `['1M', 'label=x']`.
   * @throws NbdError EINVAL for words that do not fit; what the plugin's own `setup` throws.
   */
  fromArguments(words: readonly string[], host?: Partial<PluginHost>): Promise<Plugin>;
  /**
   * Sets the plugin up with values.
   * @throws NbdError EINVAL for values that do not fit; what the plugin's own `setup` throws.
   */
  create(values: Input, host?: Partial<PluginHost>): Promise<Plugin>;
}

/**
 * Makes a plugin, the default export of a plugin package.
 *
 * ```ts
 * export default definePlugin({
 *   name: 'ruler',
 *   description: 'Bytes that count up, for finding off-by-one errors',
 *   parameters: { size: size({ required: true, positional: true, help: 'size of the disk' }) },
 *   open: (_request, { size }) => ({
 *     size,
 *     read(offset, into) {
 *       for (let i = 0; i < into.length; i++) into[i] = Number(offset & 0xffn) + i;
 *     },
 *   }),
 * });
 * ```
 *
 * Messages to the host's log and `NbdError`s of `setup` get `plugin-NAME: ` in front.
 * @throws TypeError if the definition itself is wrong.
 */
export function definePlugin<
  // eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type -- no keys: it has no parameters
  const P extends Parameters = Record<never, never>,
  const R extends RestOption = false,
  State = PluginValues<P, R>,
>(definition: PluginDefinition<P, R, State>): PluginModule<PluginInput<P, R>> {
  const { name, version, description, examples = [] } = definition;
  const parameters: Parameters = definition.parameters ?? {};
  const rest = definition.rest ?? false;
  const signature: Signature = { parameters, takesRest: rest !== false };
  checkDefinition(name, signature);

  const prefix = `plugin-${name}: `;
  const setUp = async (readValues: (cwd: string) => Values, options?: Partial<PluginHost>) => {
    const host = hostWithDefaults(options, prefix);
    try {
      const values = readValues(host.cwd) as PluginValues<P, R>;
      const state = definition.setup ? await definition.setup(values, host) : (values as State);
      return atWork(definition, state);
    } catch (error) {
      throw named(error, prefix);
    }
  };
  const module: PluginModule<PluginInput<P, R>> = {
    apiVersion: PLUGIN_API_VERSION,
    name,
    version,
    description,
    parameters,
    rest,
    examples,
    fromArguments: (words, host) => setUp((cwd) => parseArguments(signature, words, cwd), host),
    create: (values, host) => setUp((cwd) => checkValues(signature, values, cwd), host),
  };
  return Object.defineProperty(module, BRAND, { value: true });
}

/** Whether this is a plugin, also one made by another copy of this package or for another API version. */
export function isPluginModule(value: unknown): value is PluginModule {
  return typeof value === 'object' && value !== null && BRAND in value;
}

function atWork<P extends Parameters, R extends RestOption, State>(
  definition: PluginDefinition<P, R, State>,
  state: State,
): Plugin {
  return {
    name: `plugin-${definition.name}`,
    open: (request) => definition.open(request, state),
    ...(definition.exports && { exports: (connection) => definition.exports!(connection, state) }),
    ...(definition.close && { close: () => definition.close!(state) }),
  };
}

function checkDefinition(name: string, { parameters, takesRest }: Signature): void {
  if (!/^[a-z0-9][a-z0-9._-]*$/.test(name))
    throw new TypeError(`plugin name '${name}' is not a package name`);
  if (name.startsWith('plugin-')) throw new TypeError(`plugin name '${name}': leave 'plugin-' out`);
  if (takesRest && Object.hasOwn(parameters, 'rest')) {
    throw new TypeError(`plugin-${name}: with 'rest', no parameter may have that name`);
  }
  let positionalList: string | undefined;
  for (const [key, parameter] of Object.entries(parameters)) {
    if (!KEY.test(`${key}=`)) throw new TypeError(`plugin-${name}: parameter '${key}' is not a name`);
    if (parameter.default !== undefined) parameter.check(parameter.default, { name: key, cwd: '/' });
    if (!parameter.positional) continue;
    if (positionalList !== undefined) {
      throw new TypeError(
        `plugin-${name}: ${positionalList} takes all words: '${key}' can't be positional too`,
      );
    }
    if (parameter.repeatable) positionalList = key;
  }
}

/** With the plugin's name in front: the reader may have started several. */
function named(error: unknown, prefix: string): unknown {
  if (!isNbdError(error) || error.message.startsWith(prefix)) return error;
  const offset = error.offset === undefined ? {} : { offset: error.offset };
  return new NbdError(error.code, prefix + error.message, { cause: error, ...offset });
}
