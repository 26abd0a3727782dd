import { createRequire } from 'node:module';
import type * as NodeTls from 'node:tls';

/** `node:tls`, loaded by the first who needs it: that takes 4 ms, and most connections are plain. */
export function nodeTls(): typeof NodeTls {
  return createRequire(import.meta.url)('node:tls') as typeof NodeTls;
}
