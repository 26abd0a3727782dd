import { workerData } from 'node:worker_threads';
import { Batches } from './batches.js';

/** What a helper thread is started with. */
export interface HelperData {
  readonly memory: WebAssembly.Memory;
  readonly seed: number;
}

const { memory, seed } = workerData as HelperData;
new Batches(memory, seed).help();
