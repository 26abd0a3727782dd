import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Log } from '@nbd/plugin';
import { isNbdError, NbdError } from '@nbd/protocol';
import { openDestination, openSource } from '../endpoints/index.js';
import { parseArguments, UsageError, type Request } from './arguments.js';
import { checkSource } from './checks.js';
import { checkEarlier, readEarlier } from './earlier.js';
import { transfer } from './transfer.js';
import { USAGE } from './usage.js';

const PROGRAM = 'nbd-copy';

/**
 * Runs nbd-copy, and sets the exit code of the process.
 * @param words as on the command line
 */
export async function main(words: readonly string[]): Promise<void> {
  // Who reads the messages may leave before the copy is done.
  process.stderr.on('error', () => undefined);
  const interruption = new Interruption();
  try {
    const request = parseArguments(words);
    if (request === 'help') process.stdout.write(USAGE);
    else if (request === 'version') process.stdout.write(`${PROGRAM} ${version()}\n`);
    else await run(request, interruption.signal);
  } catch (error) {
    const { signal, exitCode } = interruption;
    const isNews = !signal.aborted || (isNbdError(error) && error.code === 'ECANCELED');
    say(describe(isNews ? error : signal.reason));
    process.exitCode = error instanceof UsageError ? 2 : exitCode;
  } finally {
    interruption.over();
  }
}

async function run(request: Request, signal: AbortSignal): Promise<void> {
  const log = logTo(request.verbose);
  const options = endpointOptions(request, log, signal);
  const earlier = await readEarlier(request, log);
  const source = await opening(openSource(request.source, options));
  try {
    const size = source.device?.size;
    checkSource(source, request);
    const resume = earlier && (await checkEarlier(earlier, source, request));
    const place = { ...options, size, source, ...(resume && { resume }) };
    const destination = await opening(openDestination(request.destination, place));
    try {
      await transfer(source, destination, request, { earlier, signal, log });
    } catch (error) {
      await destination.abandon().catch(() => undefined);
      throw error;
    }
  } catch (error) {
    await source.abandon().catch(() => undefined);
    throw error;
  }
  await source.close();
}

/** What makes no sense about a place or a plugin's parameters was typed wrong. */
async function opening<T>(endpoint: Promise<T>): Promise<T> {
  try {
    return await endpoint;
  } catch (error) {
    if (isNbdError(error) && error.code === 'EINVAL') throw new UsageError(error.message);
    throw error;
  }
}

function endpointOptions(
  { connections, requests, requestSize, synchronous }: Request,
  log: Log,
  signal: AbortSignal,
) {
  const window = synchronous
    ? { requests: 1, bytes: requestSize }
    : { requests: Math.max(1024, connections * requests), bytes: connections * requests * requestSize };
  return { connections, window, log, signal };
}

/** Ctrl-C and its like: the copy is given up, and servers that were started are stopped. */
class Interruption {
  readonly #stop = new AbortController();
  #by: NodeJS.Signals | undefined;

  constructor() {
    for (const name of SIGNALS) process.once(name, this.#come);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** As a shell tells it of a program that a signal has ended. */
  get exitCode(): number {
    return this.#by === undefined ? 1 : 128 + constants.signals[this.#by];
  }

  over(): void {
    for (const name of SIGNALS) process.removeListener(name, this.#come);
  }

  readonly #come = (name: NodeJS.Signals): void => {
    // With no listener left, the next one ends the process at once.
    this.over();
    this.#by = name;
    this.#stop.abort(new NbdError('ECANCELED', `interrupted by ${name}`));
  };
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function describe(error: unknown): string {
  if (error instanceof UsageError || isNbdError(error)) return error.message;
  // What nobody foresaw is worth its stack.
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function logTo(verbose: boolean): Log {
  return { warn: say, info: say, debug: verbose ? say : () => undefined };
}

function say(message: string): void {
  process.stderr.write(`${message.startsWith('plugin-') ? '' : `${PROGRAM}: `}${message}\n`);
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
