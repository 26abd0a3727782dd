import type { ChildProcess } from 'node:child_process';
import { readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { collect, startChild, type ChildOptions, type Ending, type Output } from './child.js';
import type { Peer } from './peers.js';
import { temporaryDirectory, type TemporaryDirectory } from './temporary.js';

/** A server at work in a process of its own, which is ended with the scope. */
export interface Server extends AsyncDisposable {
  /** Where clients find it. */
  readonly uri: string;
  /** The path of its Unix socket; empty on TCP. */
  readonly socket: string;
  readonly pidFile: string;
  readonly pid: number;
  /** What it has said so far. */
  readonly stdout: Output['text'];
  readonly stderr: Output['text'];
  /** Settles when the process has ended, for whatever reason. */
  readonly ended: Promise<Ending>;
  signal(name: NodeJS.Signals): void;
  /** Resolves once what it has said on stderr matches. */
  readonly said: Output['match'];
  /** Ends it with SIGTERM, if it has not ended yet. @throws Error if it does not obey within 10 seconds. */
  stop(): Promise<Ending>;
}

/** Where a server that is being started shall put its things. */
export interface Place {
  readonly socket: string;
  readonly pidFile: string;
}

const STOP_LIMIT = 10_000;

export interface StartOptions extends ChildOptions {
  /** Milliseconds until it must be serving; 20 000 by default. */
  readonly startLimit?: number;
}

/**
 * Starts a program that serves until it is told to end, and waits until it has written its pid file.
 * @param args made for a fresh private directory.
 */
export async function startServer(
  program: Peer,
  args: (place: Place) => readonly string[],
  options: StartOptions = {},
): Promise<Omit<Server, 'uri' | 'socket'> & Place> {
  const directory = await temporaryDirectory();
  const place = { socket: directory.file('socket'), pidFile: directory.file('pid') };
  const words = args(place);
  try {
    const { child, ended } = startChild(program, words, options);
    child.stdin.end();
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const explain = (what: string) =>
      new Error(`${[program, ...words].join(' ')} ${what}\n${stderr.text()}`.trimEnd());

    const stop = () => stopChild(child, ended, directory, explain);
    try {
      const pid = await pidWritten(place.pidFile, options.startLimit ?? 20_000, ended, explain);
      return {
        ...place,
        pid,
        stdout: stdout.text,
        stderr: stderr.text,
        ended,
        signal: (name) => process.kill(pid, name),
        said: stderr.match,
        stop,
        async [Symbol.asyncDispose]() {
          await stop();
        },
      };
    } catch (error) {
      child.kill('SIGKILL');
      await ended.catch(() => undefined);
      throw error;
    }
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}

async function stopChild(
  child: ChildProcess,
  ended: Promise<Ending>,
  directory: TemporaryDirectory,
  explain: (what: string) => Error,
): Promise<Ending> {
  const expired = AbortSignal.timeout(STOP_LIMIT);
  expired.addEventListener('abort', () => child.kill('SIGKILL'));
  child.kill('SIGTERM');
  const ending = await ended;
  await directory[Symbol.asyncDispose]();
  if (expired.aborted) throw explain(`did not end within ${STOP_LIMIT / 1000} s of SIGTERM`);
  return ending;
}

async function pidWritten(
  path: string,
  limit: number,
  ended: Promise<Ending>,
  explain: (what: string) => Error,
): Promise<number> {
  let watcher: ReturnType<typeof watch> | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<number>((resolve, reject) => {
      const look = () => {
        const pid = pidIn(path);
        if (pid !== undefined) resolve(pid);
      };
      watcher = watch(dirname(path), look);
      timer = setTimeout(() => {
        reject(explain(`wrote no pid file within ${limit / 1000} s`));
      }, limit);
      ended.then(({ code }) => {
        reject(explain(`ended with code ${code} before it served`));
      }, reject);
      look();
    });
  } finally {
    watcher?.close();
    clearTimeout(timer);
  }
}

function pidIn(path: string): number | undefined {
  try {
    return /^\d+$/m.test(readFileSync(path, 'utf8')) ? Number(readFileSync(path, 'utf8')) : undefined;
  } catch {
    return undefined;
  }
}
