import { spawn, type ChildProcess, type SpawnOptions as ChildOptions } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isNbdError, NbdError } from '@nbd/protocol';
import { connectSocket, joinStreams } from '@nbd/transport';
import type { Dial } from './dial.js';
import { endedWithUs } from './parent-death.js';

export interface SpawnOptions {
  /**
   * How the server is reached. `socket-activation`, the default, as systemd starts servers (nbdkit, qemu-nbd, …): any
   * number of connections. `stdio`: one connection, over its standard input and output (`nbdkit -s`, `nbd-serve -s`).
   */
  readonly mode?: 'socket-activation' | 'stdio';
  readonly cwd?: string;
  /** The whole environment; ours if not given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** A server that runs for us. Give it to `connect`, which then stops it together with the disk. */
export interface CaptiveServer extends AsyncDisposable {
  readonly [CAPTIVE]: true;
  readonly pid: number;
  /** What it has said on its standard error, or the last 64 KiB of it. */
  stderr(): string;
  /** Ends it with SIGTERM, after five seconds with SIGKILL, and waits until it has ended. */
  stop(): Promise<void>;
  /** The error with what the server has said, where that may be the reason. */
  explain(error: unknown): unknown;
  readonly dial: Dial;
  /** For messages. */
  readonly name: string;
  /** Only one connection can be made. */
  readonly single: boolean;
}

const CAPTIVE = Symbol.for('@nbd/client:CaptiveServer');

export function isCaptiveServer(target: object): target is CaptiveServer {
  return CAPTIVE in target;
}

const MAX_STDERR = 64 << 10;
const PATIENCE_MS = 5000;
const LAST_WORDS_MS = 200;

/**
 * Starts a server that serves us alone. It ends with us: when it is stopped, with the disk that was connected to it,
 * when our process exits, and on Linux (where there is `setpriv`) also when our process is killed.
 *
 * ```ts
 * await using disk = await connect(await spawnServer(['qemu-nbd', '-f', 'qcow2', 'disk.qcow2']));
 * ```
 *
 * @param command the program and its arguments; no shell sees them
 * @throws NbdError ENOENT if there is no such program, for `stdio`; otherwise connecting fails with what was said.
 */
export async function spawnServer(
  command: readonly string[],
  options: SpawnOptions = {},
): Promise<CaptiveServer> {
  const [program] = command;
  if (program === undefined) throw new NbdError('EINVAL', 'a command to start a server is empty');
  return options.mode === 'stdio' ? startOverStdio(command, options) : startWithSocket(command, options);
}

async function startOverStdio(command: readonly string[], options: SpawnOptions): Promise<CaptiveServer> {
  const child = await start([...(await endedWithUs()), ...command], options, ['pipe', 'pipe', 'pipe']);
  // What becomes of the pipes is for the connection to say.
  const dial: Dial = (attach) => {
    joinStreams(child.stdout!, child.stdin!, attach);
  };
  return new Captive(child, command[0]!, dial, true);
}

/** As systemd does: the server finds a listening socket as descriptor 3. See sd_listen_fds(3). */
async function startWithSocket(command: readonly string[], options: SpawnOptions): Promise<CaptiveServer> {
  const directory = await mkdtemp(join(tmpdir(), 'nbd-'));
  try {
    const path = join(directory, 'socket');
    const { listener, descriptor } = await listen(path);
    try {
      // LISTEN_PID must be the server's own: the shell becomes it.
      const words = ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...(await endedWithUs()), ...command];
      const env = { ...(options.env ?? process.env), LISTEN_FDS: '1', LISTEN_FDNAMES: undefined };
      const child = await start(words, { ...options, env }, ['ignore', 'ignore', 'pipe', descriptor]);
      const dial: Dial = (attach) => {
        connectSocket({ path }, attach);
      };
      return new Captive(child, command[0]!, dial, false, directory);
    } finally {
      // Our copy: the server has its own, and if it ends, connecting fails at once.
      listener.close();
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** A socket that listens at `path`, and stays there when our copy of it is closed. */
async function listen(path: string): Promise<{ listener: Server; descriptor: number }> {
  const listener = createServer();
  // Closing removes the path that it was given.
  const temporary = `${path}.new`;
  listener.listen(temporary);
  await once(listener, 'listening');
  const { fd } = (listener as unknown as { _handle: { fd?: number } })._handle;
  if (fd === undefined || fd < 0) {
    listener.close();
    throw new NbdError('ENOTSUP', "socket activation does not work on this system; use mode: 'stdio'");
  }
  await rename(temporary, path);
  return { listener, descriptor: fd };
}

async function start(
  [program, ...words]: readonly string[],
  options: SpawnOptions,
  stdio: ('pipe' | 'ignore' | number)[],
): Promise<ChildProcess> {
  const settings: ChildOptions = { stdio, cwd: options.cwd };
  if (options.env) settings.env = { ...options.env };
  const child = spawn(program!, words, settings);
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new NbdError('ENOENT', `${program} can't be started: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return child;
}

/** All that run: they are ended when the process exits. */
const running = new Set<Captive>();

process.on('exit', () => {
  for (const server of running) server.abandon();
});

class Captive implements CaptiveServer {
  readonly [CAPTIVE] = true;
  readonly name: string;
  readonly dial: Dial;
  readonly single: boolean;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #directory: string | undefined;
  readonly #exited: Promise<void>;
  #stderr = '';
  #stopped: Promise<void> | undefined;

  constructor(child: ChildProcess, name: string, dial: Dial, single: boolean, directory?: string) {
    this.#child = child;
    this.#directory = directory;
    this.name = name;
    this.dial = dial;
    this.single = single;
    this.pid = child.pid!;
    running.add(this);
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR);
    });
    this.#exited = once(child, 'exit').then(() => undefined);
    child.on('error', () => undefined);
    child.stdin?.on('error', () => undefined);
  }

  stderr(): string {
    return this.#stderr;
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  explain(error: unknown): unknown {
    const said = this.#stderr.trim();
    if (said === '' || !isNbdError(error)) return error;
    return new NbdError(error.code, `${error.message}\n${this.name} said: ${said}`, { cause: error });
  }

  /** The process exits: no time to wait. */
  abandon(): void {
    this.#child.kill();
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }

  /** What it said just before it ended may still be in the pipe, which may outlive it, held by a child of its own. */
  async #lastWords(): Promise<void> {
    const stderr = this.#child.stderr!;
    if (stderr.readableEnded) return;
    await once(stderr, 'end', { signal: AbortSignal.timeout(LAST_WORDS_MS) }).catch(() => undefined);
    stderr.destroy();
  }

  async #stop(): Promise<void> {
    this.#child.stdin?.destroy();
    this.#child.kill();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS);
    await this.#exited;
    clearTimeout(timer);
    running.delete(this);
    await this.#lastWords();
    this.#child.stdout?.destroy();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}
