import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Log } from '@nbd/plugin';
import { formatSize, isNbdError, NbdError } from '@nbd/protocol';
import { checkDestination } from '../engine/check.js';
import { copyStream } from '../engine/copy-stream.js';
import { copy } from '../engine/copy.js';
import type { CopyOptions, Progress } from '../engine/options.js';
import { openDestination, openSource, type Destination, type Source } from '../endpoints/index.js';
import { parseArguments, UsageError, type Request } from './arguments.js';
import { tellerFor } from './progress.js';
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
    else await run(request, interruption);
  } catch (error) {
    say(interruption.describe(error));
    process.exitCode = error instanceof UsageError ? 2 : interruption.exitCode;
  } finally {
    interruption.over();
  }
}

async function run(request: Request, interruption: Interruption): Promise<void> {
  const log = logTo(request.verbose);
  const options = endpointOptions(request, log, interruption.signal);
  const source = await openSource(request.source, options);
  try {
    const size = source.device?.size;
    const destination = await openDestination(request.destination, { ...options, size, source });
    try {
      await transfer(source, destination, request, interruption, log);
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

/** Copies, and gives the destination its final shape. Closes it if all goes well. */
async function transfer(
  source: Source,
  destination: Destination,
  request: Request,
  interruption: Interruption,
  log: Log,
): Promise<void> {
  const names = { source: source.name, destination: destination.name };
  checkDestination(destination.device, source.device?.size, { names });
  const connections = Math.min(
    source.connections ?? request.connections,
    destination.connections ?? request.connections,
  );
  log.debug(
    `copying ${source.device ? formatSize(source.device.size) : 'a stream'}, ${connections} connections, ` +
      `${connections * request.requests} requests of ${formatSize(request.requestSize)}`,
  );
  const teller = tellerFor(request.progress, source.device?.size);
  const options: CopyOptions = {
    ...request,
    requests: connections * request.requests,
    sparse: destination.isStream ? 0 : request.sparse,
    destinationIsZero: destination.isZero || request.destinationIsZero,
    signal: interruption.signal,
    progress: (progress) => {
      teller.update(progress);
    },
    names,
  };
  // Nobody is waited for who does not answer.
  const abandon = () => {
    void Promise.allSettled([source.abandon(), destination.abandon()]);
  };
  interruption.signal.addEventListener('abort', abandon);
  const begin = Date.now();
  let progress: Progress;
  try {
    progress = source.device
      ? await copy(source.device, destination.device, options)
      : await copyStream(source.stream, destination.device, options);
    interruption.signal.throwIfAborted();
    await destination.finish(progress.done, { flush: request.flush });
  } catch (error) {
    throw incomplete(error, destination);
  } finally {
    interruption.signal.removeEventListener('abort', abandon);
    teller.end();
  }
  const { done, read, written } = progress;
  log.debug(
    `copied ${formatSize(done)} in ${(Date.now() - begin) / 1000} s: ${formatSize(read)} read, ` +
      `${formatSize(written)} written`,
  );
}

function incomplete(error: unknown, { unfinished }: Destination): unknown {
  if (unfinished === undefined || !isNbdError(error)) return error;
  return new NbdError(error.code, `${error.message}; ${unfinished} is incomplete`, { cause: error });
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

  describe(error: unknown): string {
    if (error instanceof UsageError || isNbdError(error)) return error.message;
    // What nobody foresaw is worth its stack.
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
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
