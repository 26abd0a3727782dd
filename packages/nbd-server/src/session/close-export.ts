import type { Log } from '@nbd/plugin';
import { describe, printable } from './printable.js';
import type { ServedExport } from './served-export.js';

/**
 * Closes an export and never throws: what goes wrong is logged. It waits however long the plugin takes, because that
 * may be writing what clients have entrusted to it, and says so after `patience` milliseconds.
 */
export async function closeExport(served: ServedExport, log: Log, patience: number): Promise<void> {
  const name = printable(served.name);
  const timer = setTimeout(() => {
    log.warn(`the plugin takes its time to close export "${name}"`);
  }, patience);
  try {
    await served.close();
  } catch (error) {
    log.warn(`export "${name}" did not close well: ${describe(error)}`);
  }
  clearTimeout(timer);
}
