export { loadSystem, type LoadedSystem } from './load.js';
export { isInMemory, ReadsAtOnce } from './reads-at-once.js';
export type { LockKind, System } from './system.js';
