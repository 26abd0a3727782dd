import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { defineModule } from './define-module.js';
import type { Module, ModuleDefinition, PluginInput, PluginValues, RestOption } from './define-module.js';
import type { Parameters } from './parameter.js';
import type { Connection, ExportInfo, OpenRequest, Plugin, PluginHost } from './plugin.js';

/** What an author writes. */
export interface PluginDefinition<P extends Parameters, R extends RestOption, State> extends ModuleDefinition<
  P,
  R
> {
  /**
   * Called once, before anything is opened. What it returns is handed to the other methods as `state`; without
   * `setup` that is the parameters. Stands before the other methods, for TypeScript to know the type of `state`.
   */
  setup?(parameters: PluginValues<P, R>, host: PluginHost): Awaitable<State>;
  /** See {@link Plugin.exports}. */
  exports?(connection: Connection, state: NoInfer<State>): Awaitable<readonly ExportInfo[] | undefined>;
  /** See {@link Plugin.open}. */
  open(request: OpenRequest, state: NoInfer<State>): Awaitable<BlockDevice>;
  /** See {@link Plugin.twin}. */
  twin?(state: NoInfer<State>): readonly string[] | undefined;
  /** See {@link Plugin.close}. */
  close?(state: NoInfer<State>): Awaitable<void>;
}

/** What a plugin package exports as its default: made by {@link definePlugin}. */
export type PluginModule<Input = Record<string, unknown>> = Module<Input, Plugin>;

const BRAND = Symbol.for('@nbd/plugin:PluginModule');

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
  return defineModule('plugin', BRAND, definition, async (values, host) => {
    const state = definition.setup ? await definition.setup(values, host) : (values as State);
    return atWork(definition, state);
  });
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
    ...(definition.twin && { twin: () => definition.twin!(state) }),
    ...(definition.close && { close: () => definition.close!(state) }),
  };
}
