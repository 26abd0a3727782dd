import { parseArgs, type ParseArgsConfig } from 'node:util';
import { parseSize } from '@nbd/protocol';
import type { ChecksumAlgorithm } from '../checksum/checksum.js';
import { parsePlace, type Place } from '../endpoints/index.js';
import { REQUEST_SIZE, REQUESTS } from '../engine/options.js';

/** What a person asked for. */
export interface Request {
  readonly source: Place;
  readonly destination: Place;
  readonly connections: number;
  /** Under way on each connection. */
  readonly requests: number;
  /** Bytes. */
  readonly requestSize: number;
  readonly synchronous: boolean;
  readonly sparse: number;
  readonly allocated: boolean;
  readonly destinationIsZero: boolean;
  readonly ignoreExtents: boolean;
  readonly flush: boolean;
  /** Compares both sides once all is copied. */
  readonly verify: boolean;
  /** Undefined for none. */
  readonly checksum: ChecksumAlgorithm | undefined;
  /** The file that tells how far the copy is. */
  readonly resume: string | undefined;
  /** How to tell of it: a number is a file descriptor. Undefined: a bar, where that is for a terminal. */
  readonly progress: 'bar' | 'json' | 'none' | number | undefined;
  readonly verbose: boolean;
}

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const OPTIONS = {
  allocated: { type: 'boolean' },
  checksum: { type: 'string' },
  connections: { type: 'string', short: 'C' },
  'destination-is-zero': { type: 'boolean' },
  'target-is-zero': { type: 'boolean' },
  flush: { type: 'boolean' },
  'no-flush': { type: 'boolean' },
  'no-extents': { type: 'boolean' },
  progress: { type: 'string' },
  'no-progress': { type: 'boolean' },
  'queue-size': { type: 'string' },
  'request-size': { type: 'string' },
  requests: { type: 'string', short: 'R' },
  resume: { type: 'string' },
  sparse: { type: 'string', short: 'S' },
  synchronous: { type: 'boolean' },
  // nbdcopy's: there are no threads to choose here.
  threads: { type: 'string', short: 'T' },
  verbose: { type: 'boolean', short: 'v' },
  verify: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} satisfies ParseArgsConfig['options'];

const MOST_CONNECTIONS = 64;
const MOST_REQUESTS = 1024;

interface Sizes {
  /** Of one request, in bytes. */
  readonly requestSize: number;
  /** Bytes under way on all connections together. */
  readonly queues: number;
}

/** Enough to keep two servers at work, or a distant one. */
const FAR: Sizes = { requestSize: REQUEST_SIZE, queues: 64 << 20 };

/**
 * For bytes that are there at once, and a server that is near: what is read before that takes it only leaves the
 * processor's cache. (4 GiB of a file in memory to nbdkit: 1.15 s, and 1.55 s with the other.)
 */
const NEAR: Sizes = { requestSize: 512 << 10, queues: 4 << 20 };

/** @throws UsageError */
export function parseArguments(line: readonly string[]): Request | 'help' | 'version' {
  const { rest, commands } = takeCommands(line);
  const { values, positionals } = parse(rest);
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  if (positionals.length !== 2) {
    const words = positionals.length === 1 ? '1 word' : `${positionals.length} words`;
    throw new UsageError(`write a source and a destination, not ${words}. --help shows examples`);
  }
  const [source, destination] = positionals.map((word) => placeOf(commands.get(word) ?? word));
  if (source!.kind === 'null') throw new UsageError('null: is a destination: there is nothing to read in it');
  const synchronous = values.synchronous === true;
  const sizes = defaultSizes(source!, destination!);
  const requestSize = bytes(values, 'request-size', sizes.requestSize, 4096, 32 << 20);
  if (requestSize % 4096 !== 0) throw new UsageError('--request-size: it is a multiple of 4096');
  const connections = synchronous
    ? 1
    : count(values, 'connections', defaultConnections(source!, destination!), MOST_CONNECTIONS);
  const share = Math.max(Math.floor(sizes.queues / connections), requestSize);
  const queueSize = bytes(values, 'queue-size', share, requestSize, 1 << 30);
  const requests = count(values, 'requests', REQUESTS, MOST_REQUESTS);
  return {
    source: source!,
    destination: destination!,
    connections,
    requests: synchronous ? 1 : Math.min(requests, Math.floor(queueSize / requestSize)),
    requestSize,
    synchronous,
    sparse: sparse(values.sparse),
    allocated: values.allocated === true,
    destinationIsZero: values['destination-is-zero'] === true || values['target-is-zero'] === true,
    ignoreExtents: values['no-extents'] === true,
    flush: values['no-flush'] !== true,
    verify: values.verify === true,
    checksum: checksum(values.checksum),
    resume: values.resume,
    progress: values['no-progress'] === true ? 'none' : progress(values.progress),
    verbose: values.verbose === true,
  };
}

/** Takes each `[ command … ]` out, and puts a word in its place that nobody can type. */
function takeCommands(words: readonly string[]): { rest: string[]; commands: Map<string, string[]> } {
  const rest: string[] = [];
  const commands = new Map<string, string[]>();
  for (let at = 0; at < words.length; at++) {
    if (words[at] !== '[') {
      rest.push(words[at]!);
      continue;
    }
    const end = words.indexOf(']', at);
    if (end < 0) throw new UsageError('[ has no ]');
    const place = `\0${at}`;
    commands.set(place, words.slice(at + 1, end));
    rest.push(place);
    at = end;
  }
  return { rest, commands };
}

const WITHOUT_VALUE = new Map([
  ['--progress', '--progress=bar'],
  ['-p', '--progress=bar'],
  ['--checksum', '--checksum=tree'],
]);

function parse(words: readonly string[]) {
  const end = words.indexOf('--');
  const isOption = (at: number) => end < 0 || at < end;
  try {
    return parseArgs({
      // parseArgs does not know options that may stand without their value.
      args: words.map((word, at) => (isOption(at) ? (WITHOUT_VALUE.get(word) ?? word) : word)),
      options: OPTIONS,
      allowPositionals: true,
    });
  } catch (error) {
    // Node's own words name the option and what is wrong with it.
    throw new UsageError(error instanceof Error ? error.message.split('. ')[0] : String(error));
  }
}

type Values = ReturnType<typeof parse>['values'];

function placeOf(word: string | readonly string[]): Place {
  try {
    return parsePlace(word);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function defaultSizes(source: Place, destination: Place): Sizes {
  const isThere = source.kind === 'path' || source.kind === 'plugin';
  const isNear = destination.kind === 'command' || (destination.kind === 'uri' && !isDistant(destination));
  return isThere && isNear ? NEAR : FAR;
}

/** At the other end of a network, perhaps. */
function isDistant(place: Place): boolean {
  return place.kind === 'uri' && !/^nbds?\+unix:/i.test(place.uri);
}

/**
 * More of them help where one is held up by the network. On Unix sockets they only cost: 64 GiB of sparse-random onto
 * itself took 5.0 s with 4, 4.5 s with 2 and 4.3 s with 1, which leaves servers that take turns no work to do.
 */
function defaultConnections(...places: readonly Place[]): number {
  return places.some(isDistant) ? 4 : 2;
}

function count(values: Values, name: 'connections' | 'requests', otherwise: number, most: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^[1-9]\d*$/.test(text) || value > most)
    throw new UsageError(`--${name} ${text}: it is a number from 1 to ${most}`);
  return value;
}

function bytes(
  values: Values,
  name: 'queue-size' | 'request-size',
  otherwise: number,
  least: number,
  most: number,
): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const size = sizeOf(text, `--${name}`);
  if (size < least || size > most)
    throw new UsageError(`--${name} ${text}: it is from ${least} to ${most} bytes`);
  return Number(size);
}

function sparse(text: string | undefined): number {
  if (text === undefined) return 4096;
  const size = sizeOf(text, '--sparse');
  const isPower = size >= 512n && size <= 1n << 30n && (size & (size - 1n)) === 0n;
  if (size !== 0n && !isPower)
    throw new UsageError(`--sparse ${text}: it is 0, or a power of 2 from 512 to 1G`);
  return Number(size);
}

function sizeOf(text: string, what: string): bigint {
  try {
    return parseSize(text, { what });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function checksum(text: string | undefined): Request['checksum'] {
  if (text === undefined || text === 'tree' || text === 'sha256') return text;
  throw new UsageError(`--checksum=${text}: it is tree or sha256`);
}

function progress(text: string | undefined): Request['progress'] {
  if (text === undefined) return undefined;
  if (text === 'bar' || text === 'json' || text === 'none') return text;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--progress=${text}: it is bar, json, none or the number of a file descriptor`);
}
