export { loadSystem, type LoadedSystem } from './load.js';
export type { LockKind, System } from './system.js';
