import { loadKernel } from './kernel.js';

/**
 * Gives the system back what glibc keeps of freed memory for the next who needs it (malloc_trim(3)). It takes some
 * milliseconds. Where the C library is another one, or koffi is not installed, nothing happens.
 */
export function releaseFreedMemory(): void {
  loadKernel()?.malloc_trim?.(0);
}
