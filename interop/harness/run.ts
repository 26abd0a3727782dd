import { collect, startChild, type ChildOptions, type Ending } from './child.js';
import type { Peer } from './peers.js';

export interface RunOptions extends ChildOptions {
  /** What the program finds on its standard input; nothing by default. */
  readonly input?: string | Uint8Array;
  /** Milliseconds until the program is killed and the call fails; 50 000 by default. */
  readonly timeout?: number;
  /** Resolve whatever the exit code is; otherwise anything but 0 is an error. */
  readonly anyCode?: boolean;
}

export interface RunResult extends Ending {
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it came. */
  readonly bytes: Buffer;
}

/**
 * Runs a program to its end.
 *
 * ```ts
 * const { stdout } = await run('nbdinfo', ['--size', server.uri]);
 * const { code, stderr } = await run('trixie:nbdcopy', [server.uri, 'null:'], { anyCode: true });
 * ```
 * @throws Error with the command and its stderr if it is not installed, takes too long, or ends with a code but 0.
 */
export async function run(
  program: Peer,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const { child, ended } = startChild(program, args, options);
  const output = collect(child.stdout);
  const errors = collect(child.stderr);
  const timeout = options.timeout ?? 50_000;
  const expired = AbortSignal.timeout(timeout);
  expired.addEventListener('abort', () => child.kill('SIGKILL'));
  child.stdin.end(options.input);

  const ending = await ended;
  const result = { ...ending, stdout: output.text(), stderr: errors.text(), bytes: output.bytes() };
  if (expired.aborted) throw failure(`did not end within ${timeout / 1000} s`, program, args, result);
  if (result.code !== 0 && options.anyCode !== true) {
    throw failure(`ended with ${result.signal ?? `code ${result.code}`}`, program, args, result);
  }
  return result;
}

function failure(what: string, program: Peer, args: readonly string[], result: RunResult): Error {
  const lines = [`${[program, ...args].join(' ')} ${what}`];
  if (result.stderr !== '') lines.push(`stderr: ${result.stderr.trimEnd()}`);
  if (result.stdout !== '') lines.push(`stdout: ${result.stdout.slice(-2000).trimEnd()}`);
  return new Error(lines.join('\n'));
}
