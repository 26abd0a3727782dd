import { isPluginModule } from '../define-plugin.js';
import type { PluginModule } from '../define-plugin.js';
import { loadByName } from './load-by-name.js';
import type { LoadOptions } from './load-by-name.js';

/**
 * Loads the plugin that a name on the command line stands for: `floppy`, `plugin-floppy`, `nbd-plugin-x`, `@scope/x`,
 * `./file.js`, `/abs/file.js` or a `file:` URL.
 *
 * Every package name that it may stand for is looked for in all places before the next name is, and official ones
 * beside the server first: nothing that lies in the working directory takes the place of an official plugin.
 *
 * ```ts
 * const floppy = await loadPlugin('floppy', { cwd: process.cwd(), beside: import.meta.url });
 * const plugin = await floppy.fromArguments(['/dir']);
 * ```
 *
 * @throws NbdError ENOENT if there is none, with the names tried and how to install it; EINVAL if what was found does
 * not load, is no plugin or is made for another version of the plugin interface.
 */
export function loadPlugin(name: string, options: LoadOptions): Promise<PluginModule> {
  const wanted = { kind: 'plugin', example: 'floppy', madeBy: 'definePlugin', is: isPluginModule } as const;
  return loadByName<PluginModule>(wanted, name, options);
}
