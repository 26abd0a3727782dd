import type { Log } from '@nbd/plugin';
import { printable } from '../session/printable.js';

/** Messages to people, on standard error: standard output belongs to data, or to the command of `--run`. */
export function stderrLog(verbose: boolean, prefix = ''): Log {
  const say = (message: string) => {
    process.stderr.write(`${prefix}${printable(message)}\n`);
  };
  return { warn: say, info: say, debug: verbose ? say : () => undefined };
}
