export { collectGarbageSoon } from './collect-garbage.js';
export { SideBySide } from './side-by-side.js';
export { SparseStore, type Backing, type SparseStoreOptions } from './sparse-store.js';
export { isZero } from './zeroes.js';
