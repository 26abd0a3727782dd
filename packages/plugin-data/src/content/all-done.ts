/**
 * Settles when all reads have, with the first error if there is one: none may touch the caller's buffer after the call
 * has failed.
 */
export async function allDone(reads: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(reads);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
