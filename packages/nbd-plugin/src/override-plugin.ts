import type { Plugin } from './plugin.js';

/**
 * `plugin` with some of it replaced. Plugins may be of a class, with private fields and methods that need their
 * `this`, which a spread would break.
 *
 * ```ts
 * overridePlugin(inner, { open: (request) => inner.open({ ...request, readOnly: true }) });
 * ```
 */
export function overridePlugin(plugin: Plugin, changes: Partial<Plugin>): Plugin {
  return {
    name: plugin.name,
    open: (request) => plugin.open(request),
    ...(plugin.exports && { exports: (connection) => plugin.exports!(connection) }),
    ...(plugin.close && { close: () => plugin.close!() }),
    ...changes,
  };
}
