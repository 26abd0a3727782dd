import { spawn } from 'node:child_process';
import { formatSize } from '@nbd/protocol';
import type { Script } from '../language/expression.js';
import { errorAt } from '../language/source.js';

export interface ScriptOptions {
  /** Where it runs. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Most bytes that it may print, and keep in memory. */
  readonly limit: bigint;
}

/**
 * Runs a script with `/bin/sh` and gives what it prints; with `stopAfter` that many bytes at most, and then it is
 * stopped. Its standard input is empty, and what it says on standard error goes to ours.
 * @throws NbdError EINVAL if it fails before it is stopped, or prints more than the limit.
 */
export async function runScript(script: Script, { cwd, env, limit }: ScriptOptions): Promise<Uint8Array> {
  const { text, stopAfter, place } = script;
  // At one byte over the limit it is clear that there is too much.
  const most = stopAfter === undefined || stopAfter > limit ? limit + 1n : stopAfter;
  const { output, failure, kill } = start(text, cwd, env);
  const chunks: Buffer[] = [];
  let length = 0n;
  for await (const chunk of output) {
    chunks.push(chunk);
    length += BigInt(chunk.length);
    if (length >= most) {
      // Before the pipe is closed, which programs would complain about.
      kill();
      break;
    }
  }
  const failed = await failure;
  if (length >= most && most > limit) {
    const advice = 'A slice from its start, <( … )[:N], stops it; script-limit=SIZE lets it print more';
    throw errorAt(place, `this script prints more than ${formatSize(limit)}. ${advice}`);
  }
  if (length < most && failed !== undefined) throw errorAt(place, `this script ${failed}`);
  return Buffer.concat(chunks, Number(length < most ? length : most));
}

/** A running shell in a process group of its own, so that what it has started can be ended with it. */
interface Shell {
  readonly output: AsyncIterable<Buffer>;
  /** Settles at the end of the shell with what went wrong. */
  readonly failure: Promise<string | undefined>;
  readonly kill: () => void;
}

function start(text: string, cwd: string, env: ScriptOptions['env']): Shell {
  const child = spawn('/bin/sh', ['-c', text], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const kill = (): void => {
    if (child.pid !== undefined) endGroup(child.pid);
  };
  process.once('exit', kill);
  const failure = new Promise<string | undefined>((resolve) => {
    child.once('error', ({ message }) => {
      resolve(`can't be started: ${message}`);
    });
    child.once('exit', (code, signal) => {
      resolve(code === 0 ? undefined : `failed with ${signal ?? `exit status ${String(code)}`}`);
    });
  }).finally(() => process.off('exit', kill));
  return { output: child.stdout, failure, kill };
}

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
