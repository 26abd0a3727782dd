export { SparseStore, type Backing, type SparseStoreOptions } from './sparse-store.js';
