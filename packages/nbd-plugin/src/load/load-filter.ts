import { isFilterModule } from '../define-filter.js';
import type { FilterModule } from '../define-filter.js';
import { loadByName } from './load-by-name.js';
import type { LoadOptions } from './load-by-name.js';

/**
 * Loads the filter that a name on the command line stands for: `cow` or `filter-cow`, which is `@nbd/filters/cow` or
 * else `nbd-filter-cow`; `nbd-filter-x`, `@scope/x`, `./file.js`, `/abs/file.js` or a `file:` URL. They are looked for
 * as `loadPlugin` looks for plugins.
 *
 * ```ts
 * const cow = await loadFilter('cow', { cwd: process.cwd(), beside: import.meta.url });
 * const filter = await cow.fromArguments([]);
 * const scratch = filter(plugin);
 * ```
 *
 * @throws NbdError ENOENT if there is none, with the names tried and how to install it; EINVAL if what was found does
 * not load, is no filter or is made for another version of the plugin interface.
 */
export function loadFilter(name: string, options: LoadOptions): Promise<FilterModule> {
  const wanted = { kind: 'filter', example: 'cow', madeBy: 'defineFilter', is: isFilterModule } as const;
  return loadByName<FilterModule>(wanted, name, options);
}
