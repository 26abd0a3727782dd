import type { Log } from '@nbd/plugin';

/** Messages to people, on standard error: standard output belongs to data, or to the command of `--run`. */
export function stderrLog(verbose: boolean, prefix = ''): Log {
  const say = (message: string) => {
    process.stderr.write(`${prefix}${message}\n`);
  };
  return { warn: say, info: say, debug: verbose ? say : () => undefined };
}
