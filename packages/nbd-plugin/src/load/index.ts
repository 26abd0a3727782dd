export type { LoadOptions } from './load-by-name.js';
export { loadFilter } from './load-filter.js';
export { loadPlugin } from './load-plugin.js';
