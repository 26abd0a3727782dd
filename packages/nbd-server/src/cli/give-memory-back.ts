import { releaseFreedMemory } from '@nbd/transport';
import type { NbdServer } from '../server.js';

/** Milliseconds without a client: the next may come at once. */
const REST = 5000;

/** Bytes of memory that are kept for clients to come. */
const KEPT = 256 << 20;

/** Milliseconds for V8 to free, on threads of its own, what a collection has found. */
const SWEEP = 1000;

/**
 * Gives the system back what many clients had at once, when the last of them has gone: V8, which sees no need at rest,
 * and then glibc, would keep it.
 */
export function giveMemoryBack(server: NbdServer): void {
  let timer: NodeJS.Timeout | undefined;
  // Those that this process has: others see to their own.
  let connections = 0;
  server.on('connection', () => {
    connections++;
    clearTimeout(timer);
  });
  server.on('disconnection', () => {
    if (--connections > 0) return;
    timer = setTimeout(() => {
      if (process.memoryUsage.rss() <= KEPT) return;
      void import('@nbd/plugin/store').then(({ collectGarbageSoon }) => {
        collectGarbageSoon();
      });
      timer = setTimeout(releaseFreedMemory, SWEEP).unref();
    }, REST).unref();
  });
}
