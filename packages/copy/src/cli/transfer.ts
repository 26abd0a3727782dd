import type { Log } from '@nbd/plugin';
import { formatSize, isNbdError, NbdError } from '@nbd/protocol';
import { checkDestination } from '../engine/check.js';
import { copyStream } from '../engine/copy-stream.js';
import { copy } from '../engine/copy.js';
import type { CopyOptions, Progress } from '../engine/options.js';
import type { Destination, Source } from '../endpoints/index.js';
import { destinationIdentity, sourceIdentity } from '../resume/identity.js';
import { copyResumable } from '../resume/resumable.js';
import { removeState, type State } from '../resume/state-file.js';
import type { Request } from './arguments.js';
import { Checks, checkWishes } from './checks.js';
import { tellerFor } from './progress.js';

export interface TransferOptions {
  /** Of an earlier copy that this one goes on with. */
  readonly earlier: State | undefined;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Copies, checks, and gives the destination its final shape. Closes it if all goes well. */
export async function transfer(
  source: Source,
  destination: Destination,
  request: Request,
  options: TransferOptions,
): Promise<void> {
  const { signal } = options;
  checkWishes(source, destination, request);
  const names = { source: source.name, destination: destination.name };
  checkDestination(destination.device, source.device?.size, { names });
  // Nobody is waited for who does not answer.
  const abandon = () => {
    void Promise.allSettled([source.abandon(), destination.abandon()]);
  };
  signal.addEventListener('abort', abandon);
  let left = 'incomplete';
  try {
    const requests = requestsOf(source, destination, request);
    const done = await copyAll(source, destination, request, { ...options, requests });
    left = 'not known to be good';
    if (source.stream) await destination.setSize?.(done);
    const checks = new Checks(request, requests, signal);
    await checks.verify(source, destination);
    const checksum = await checks.checksum(source, destination, done);
    signal.throwIfAborted();
    await destination.finish(done, { flush: request.flush });
    if (request.resume !== undefined) await removeState(request.resume);
    if (checksum !== undefined) tell(checksum, request);
  } catch (error) {
    // What comes of giving up is no news.
    throw withWhatIsLeft(signal.aborted ? signal.reason : error, destination, left);
  } finally {
    signal.removeEventListener('abort', abandon);
  }
}

/** Requests under way at once. */
function requestsOf(source: Source, destination: Destination, request: Request): number {
  return (
    request.requests *
    Math.min(source.connections ?? request.connections, destination.connections ?? request.connections)
  );
}

/** @returns how many bytes the source has */
async function copyAll(
  source: Source,
  destination: Destination,
  request: Request,
  { requests, earlier, signal, log }: TransferOptions & { readonly requests: number },
): Promise<bigint> {
  // The checksum reads the source; nobody has anything from reading it twice.
  const isForChecksum = request.destination.kind === 'null' && request.checksum !== undefined;
  if (isForChecksum && source.device) return source.device.size;
  log.debug(
    `copying ${source.device ? formatSize(source.device.size) : 'a stream'}, ` +
      `${requests} requests of ${formatSize(request.requestSize)}`,
  );
  const teller = await tellerFor(request.progress, source.device?.size);
  const options: CopyOptions = {
    ...request,
    requests,
    sparse: destination.isStream ? 0 : request.sparse,
    destinationIsZero: destination.isZero || request.destinationIsZero,
    signal,
    progress: (progress) => {
      teller.update(progress);
    },
    names: { source: source.name, destination: destination.name },
  };
  const begin = Date.now();
  let progress: Progress;
  try {
    progress = await copyWith(source, destination, request, earlier, options);
  } finally {
    teller.end();
  }
  const { done, read, written } = progress;
  log.debug(
    `copied ${formatSize(done)} in ${(Date.now() - begin) / 1000} s: ${formatSize(read)} read, ` +
      `${formatSize(written)} written; ${formatSize(process.resourceUsage().maxRSS * 1024)} of memory at most`,
  );
  return done;
}

async function copyWith(
  source: Source,
  destination: Destination,
  request: Request,
  earlier: State | undefined,
  options: CopyOptions,
): Promise<Progress> {
  if (source.stream) return copyStream(source.stream, destination.device, options);
  if (request.resume === undefined) return copy(source.device, destination.device, options);
  return copyResumable(source.device, destination.device, {
    ...options,
    file: request.resume,
    earlier,
    identities: {
      source: await sourceIdentity(request.source),
      destination: await destinationIdentity(request.destination, destination.unfinished),
    },
  });
}

/** On standard output, which is for data; unless the disk itself is there. */
function tell(checksum: string, { destination }: Request): void {
  const output = destination.kind === 'stdio' ? process.stderr : process.stdout;
  output.write(`${checksum}\n`);
}

function withWhatIsLeft(error: unknown, { unfinished }: Destination, what: string): unknown {
  if (unfinished === undefined || !isNbdError(error)) return error;
  return new NbdError(error.code, `${error.message}; ${unfinished} is ${what}`, { cause: error });
}
