import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Sessions that run side by side. */
const AT_ONCE = 8;

/** Bytes in use that may come and go: what is compiled, cached and pooled. */
const TOLERANCE = 8 << 20;

/**
 * Runs sessions with the seeds from `seed` on.
 * @param session runs one, and throws what went wrong
 * @param progress told ten times how many are done and how many bytes are in use
 * @returns how much more is in use at the end than after the first tenth, in bytes
 * @throws Error that names the seed of a session that went wrong, or says how much more memory is in use
 */
export async function fuzz(
  session: (seed: number) => Promise<void>,
  sessions: number,
  seed: number,
  progress: (done: number, bytesInUse: number) => void = () => undefined,
): Promise<{ growth: number; seconds: number }> {
  const start = performance.now();
  const step = Math.ceil(sessions / 10);
  let first: number | undefined;
  let last = 0;
  for (let done = 0; done < sessions;) {
    const end = Math.min(done + step, sessions);
    await runBetween(session, seed + done, seed + end);
    done = end;
    last = bytesInUse();
    first ??= last;
    progress(done, last);
  }
  const growth = last - (first ?? 0);
  if (growth > TOLERANCE) throw new Error(`${growth} bytes more are in use after ${sessions} sessions`);
  return { growth, seconds: (performance.now() - start) / 1000 };
}

async function runBetween(session: (seed: number) => Promise<void>, from: number, to: number): Promise<void> {
  let next = from;
  const run = async () => {
    while (next < to) {
      const seed = next++;
      try {
        await session(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, run));
}

function bytesInUse(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
