export { loadPlugin, type LoadOptions } from './load-plugin.js';
