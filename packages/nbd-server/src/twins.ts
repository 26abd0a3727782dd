import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Log } from '@nbd/plugin';
import { NbdError } from '@nbd/protocol';
import type { CommandLine } from './cli/command-line.js';
import type { Twins } from './server.js';
import { DEFAULT_LIMITS } from './session/limits.js';

/** A command line that serves something. */
export type Task = CommandLine & { readonly plugin: string };

/** What a twin is told. The first message is the task; with `serve` comes a connection. */
export type ToTwin = { readonly task: Task } | 'serve' | 'close';

/** What it answers: to `serve` that it does, and later that it is done. */
export type FromTwin = 'ready' | 'connection' | 'disconnection';

/**
 * Starts processes that serve the same as this one.
 * @param task the command line, with words that give a twin the content of the plugin
 * @throws NbdError EIO if one of them can't be started; it says why itself
 */
export async function startTwins(count: number, task: Task, log: Log): Promise<Twins> {
  const twins = Array.from({ length: count }, () => new Twin(task, log));
  try {
    await Promise.all(twins.map((twin) => twin.ready));
  } catch (error) {
    await Promise.all(twins.map((twin) => twin.close()));
    throw error;
  }
  return {
    get connections() {
      return twins.reduce((sum, twin) => sum + twin.connections, 0);
    },
    take(socket, own) {
      const alive = twins.filter((twin) => twin.isAlive);
      const [least] = alive.toSorted((one, other) => one.connections - other.connections);
      if (least === undefined || least.connections >= own) return false;
      least.serve(socket);
      return true;
    },
    async close() {
      await Promise.all(twins.map((twin) => twin.close()));
    },
  };
}

/** Milliseconds that it may take besides the grace time of requests and devices. */
const MARGIN = 2000;

class Twin {
  readonly ready: Promise<void>;
  /** That it has, or that are on their way to it. */
  connections = 0;
  /** Sent, and open here as well until the twin says that it has them. */
  readonly #onTheirWay: Socket[] = [];
  readonly #graceTime: number;
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #isClosing = false;

  constructor(task: Task, log: Log) {
    // Standard output belongs to the command of --run.
    const child = fork(new URL('./twin-process.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#graceTime = task.limits.graceTime ?? DEFAULT_LIMITS.graceTime;
    this.#process = child;
    this.#ended = once(child, 'exit');
    this.ready = this.#start(task);
    child.on('message', (message: FromTwin) => {
      // The twin has it open, too.
      if (message === 'connection') this.#onTheirWay.shift()?.destroy();
      // After its end none of them counts any more.
      if (message === 'disconnection' && this.isAlive) this.connections--;
    });
    // A twin that ends while it is told something: `exit` follows.
    child.on('error', () => undefined);
    child.once('exit', (code, signal) => {
      const { connections } = this;
      this.connections = 0;
      // Else their clients would wait for ever.
      for (const socket of this.#onTheirWay.splice(0)) socket.destroy();
      if (this.#isClosing || connections === 0) return;
      log.warn(
        `a process with ${connections} of the connections has ended (${signal ?? `exit code ${code}`}); the others go on`,
      );
    });
  }

  get isAlive(): boolean {
    const { connected, exitCode, signalCode } = this.#process;
    return connected && exitCode === null && signalCode === null && !this.#isClosing;
  }

  serve(socket: Socket): void {
    this.connections++;
    this.#onTheirWay.push(socket);
    // Else Node has the listener wait, at its end, until the twin says that the socket is closed: a dead one does not.
    (socket as { server?: unknown }).server = undefined;
    this.#send('serve', socket);
  }

  /** It finishes what is under way, as its server does; one that does not answer any more is killed. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#process.connected) this.#send('close');
    // Requests have that time, and then the flush of the device.
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 2 * this.#graceTime + MARGIN);
    await this.#ended;
    clearTimeout(timer);
  }

  async #start(task: Task): Promise<void> {
    this.#send({ task });
    const ended = this.#ended.then(() => {
      throw new NbdError('EIO', `a process for --threads=${task.threads} could not be started`);
    });
    await Promise.race([once(this.#process, 'message'), ended]);
  }

  #send(message: ToTwin, socket?: Socket): void {
    // Whom it does not reach it has left: `exit` tells.
    this.#process.send(message, socket, { keepOpen: true }, () => undefined);
  }
}
