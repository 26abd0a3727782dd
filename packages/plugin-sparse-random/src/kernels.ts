import { KERNELS } from './kernels.generated.js';

/** The functions in WebAssembly; their sources, in `assembly/`, say what they do. Addresses are in `memory`. */
export interface Kernels {
  readonly jump: (lanes: number, polynomial: number) => void;
  readonly walk: (
    lanes: number,
    steps: number,
    low: bigint,
    high: bigint,
    notes: number,
    counts: number,
  ) => void;
  readonly repeatedByte: (seed: number, block: number) => number;
  readonly randomBlocks: (seed: number, block: number, threes: number, into: number) => void;
}

const PAGE = 65_536;

let compiled: WebAssembly.Module | undefined;

/** Memory for an instance, or for several in different threads. */
export function kernelMemory(size: number): WebAssembly.Memory {
  const pages = Math.ceil(size / PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

export function instantiateKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNELS, 'base64'));
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  return exports as unknown as Kernels;
}
