import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { defineModule } from './define-module.js';
import type { Module, ModuleDefinition, PluginInput, PluginValues, RestOption } from './define-module.js';
import { overridePlugin } from './override-plugin.js';
import type { Parameters } from './parameter.js';
import type { OpenRequest, Plugin, PluginHost } from './plugin.js';

/** A filter at work: makes a plugin of a plugin. What it keeps, all connections may share. */
export type Filter = (inner: Plugin) => Plugin;

/** What an author writes. */
export interface FilterDefinition<P extends Parameters, R extends RestOption> extends ModuleDefinition<P, R> {
  /** It never writes to the disk under it, which is opened read-only then. */
  readonly onlyReads?: boolean;
  /** Called once, at start-up. */
  setup(parameters: PluginValues<P, R>, host: PluginHost): Awaitable<Filter>;
}

/** What a filter package exports as its default: made by {@link defineFilter}. */
export interface FilterModule<Input = Record<string, unknown>> extends Module<Input, Filter> {
  /** The plugin under it is set up read-only. */
  readonly onlyReads: boolean;
}

const BRAND = Symbol.for('@nbd/plugin:FilterModule');

/**
 * Makes a filter, the default export of a filter package.
 *
 * ```ts
 * export default defineFilter({
 *   name: 'rotational',
 *   description: 'Says that the disk is a spinning one',
 *   setup: () =>
 *     liftDevice((device) => overrideDevice(device, { info: { ...device.info, rotational: true } })),
 * });
 * ```
 *
 * Messages to the host's log and `NbdError`s of `setup` get `filter-NAME: ` in front.
 * @throws TypeError if the definition itself is wrong.
 */
export function defineFilter<
  // eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type -- no keys: it has no parameters
  const P extends Parameters = Record<never, never>,
  const R extends RestOption = false,
>(definition: FilterDefinition<P, R>): FilterModule<PluginInput<P, R>> {
  const { onlyReads = false } = definition;
  const module = defineModule('filter', BRAND, definition, async (values, host) => {
    const filter = await definition.setup(values, host);
    return onlyReads ? (inner: Plugin) => filter(openReadOnly(inner)) : filter;
  });
  return Object.assign(module, { onlyReads });
}

/** Whether this is a filter, also one made by another copy of this package or for another API version. */
export function isFilterModule(value: unknown): value is FilterModule {
  return typeof value === 'object' && value !== null && BRAND in value;
}

/**
 * A filter that changes each device as it is opened, and passes the rest through. If `change` throws, the device is
 * closed. What `change` returns closes the device when it is closed itself, as `overrideDevice` sees to.
 *
 * ```ts
 * liftDevice((device) => overrideDevice(device, { extents: undefined }));
 * ```
 */
export function liftDevice(
  change: (device: BlockDevice, request: OpenRequest) => Awaitable<BlockDevice>,
): Filter {
  return (inner) =>
    overridePlugin(inner, {
      async open(request) {
        const device = await inner.open(request);
        try {
          return await change(device, request);
        } catch (error) {
          await device.close?.();
          throw error;
        }
      },
    });
}

function openReadOnly(inner: Plugin): Plugin {
  return overridePlugin(inner, { open: (request) => inner.open({ ...request, readOnly: true }) });
}
