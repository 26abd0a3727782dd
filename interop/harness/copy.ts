import { NBD_COPY } from './serve.js';
import { run, type RunOptions, type RunResult } from './run.js';

/** Runs our `nbd-copy` to its end. @throws as {@link run} */
export function nbdCopy(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(process.execPath, [NBD_COPY, ...args], options);
}
