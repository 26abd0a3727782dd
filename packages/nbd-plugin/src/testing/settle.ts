import type { Awaitable } from '@nbd/protocol';

/**
 * Waits for a call, for at most `timeout` milliseconds.
 * @throws Error that says `what` failed and why.
 */
export async function settle(what: string, timeout: number, call: () => Awaitable<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const result = call();
    if (result === undefined) return;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`it has not settled after ${timeout} ms`));
      }, timeout);
    });
    await Promise.race([result, late]);
  } catch (error) {
    throw new Error(`${what} failed: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}
