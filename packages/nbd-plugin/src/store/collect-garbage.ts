import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Milliseconds: what gives memory back often comes in many requests, and one collection does for them. */
const DELAY = 100;

let isDue = false;
let collect: (() => void) | undefined;

/**
 * Collects garbage shortly, which is how V8 gives array buffers back to the system. A server at rest would not do it by
 * itself: it makes too little garbage. Takes some milliseconds.
 */
export function collectGarbageSoon(): void {
  if (isDue) return;
  isDue = true;
  setTimeout(() => {
    isDue = false;
    collect ??= garbageCollector();
    collect();
  }, DELAY).unref();
}

/** V8's own, which only contexts have that are made while the flag is set. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const found = runInNewContext('globalThis.gc') as (() => void) | undefined;
  setFlagsFromString('--no-expose-gc');
  return found ?? (() => undefined);
}
