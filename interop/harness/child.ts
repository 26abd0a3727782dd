import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { commandOf, type Peer } from './peers.js';

export interface ChildOptions {
  /** Added to the environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** How a process ended. */
export interface Ending {
  /** The exit code, or as in a shell 128 + the number of the signal that ended it. */
  readonly code: number;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

const SETPRIV = '/usr/bin/setpriv';

/** Linux ends the child with us, however we end; elsewhere, only an orderly exit does. */
const endedWithUs =
  process.platform === 'linux' && spawnSync(SETPRIV, ['--pdeathsig', 'KILL', 'true']).status === 0
    ? [SETPRIV, '--pdeathsig', 'KILL', '--']
    : [];

/** The program, started, with pipes as its standard streams; it ends with this process at the latest. */
export function startChild(program: Peer, args: readonly string[], options: ChildOptions = {}) {
  const command = commandOf(program);
  if (command === undefined) {
    throw new Error(`${program} is not installed; scripts/install-peers.sh installs it`);
  }
  const [file, ...words] = [...endedWithUs, ...command, ...args];
  const child = spawn(file!, words, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  // A child that ends without reading its input is no error of ours.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<Ending>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code: code ?? 128 + constants.signals[signal!], signal });
    });
  });
  // Whoever awaits it sees the error; nobody need.
  ended.catch(() => undefined);
  return { child, ended };
}

/** What a stream has given so far. */
export interface Output {
  readonly bytes: () => Buffer;
  readonly text: () => string;
  /** Resolves once the text matches. @throws Error if the stream ends before. */
  readonly match: (pattern: RegExp) => Promise<RegExpExecArray>;
}

export function collect(stream: Readable): Output {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const bytes = () => Buffer.concat(chunks);
  const text = () => bytes().toString();
  return {
    bytes,
    text,
    match: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(text());
          if (found === null && !stream.closed) return;
          stream.off('data', look).off('close', look);
          if (found !== null) resolve(found);
          else reject(new Error(`nothing matches ${String(pattern)} in all of\n${text()}`));
        };
        stream.on('data', look).on('close', look);
        look();
      }),
  };
}
