import { parseSize } from '@nbd/protocol';
import type { ServerLimits } from '../server.js';
import { UsageError } from './usage-error.js';

/** A limit as it is named on the command line. */
interface LimitOption {
  readonly key: keyof ServerLimits;
  readonly unit: 'count' | 'seconds' | 'size';
  readonly help: string;
}

export const LIMITS: Readonly<Record<string, LimitOption>> = {
  connections: { key: 'connections', unit: 'count', help: 'connections at once (1024)' },
  'handshake-time': {
    key: 'handshakeTime',
    unit: 'seconds',
    help: 'seconds that a handshake may take (10; 0: no limit)',
  },
  'idle-time': {
    key: 'idleTime',
    unit: 'seconds',
    help: 'seconds until an idle client is disconnected (0: never)',
  },
  'grace-time': { key: 'graceTime', unit: 'seconds', help: 'seconds to finish requests in, at the end (10)' },
  options: { key: 'options', unit: 'count', help: 'options in one handshake (4096)' },
  'option-length': { key: 'optionLength', unit: 'size', help: "size of one option's data (64K)" },
  payload: { key: 'payload', unit: 'size', help: 'size of one read or write (32M)' },
  requests: { key: 'requests', unit: 'count', help: 'requests under way on a connection (256)' },
  bytes: { key: 'bytes', unit: 'size', help: 'payload under way on a connection (64M)' },
};

/**
 * Reads `NAME=VALUE` words.
 * @throws UsageError
 */
export function parseLimits(words: readonly string[]): Partial<ServerLimits> {
  const limits: Partial<Record<keyof ServerLimits, number>> = {};
  for (const word of words) {
    const [name = '', value = ''] = word.split(/=(.*)/s);
    const option = Object.hasOwn(LIMITS, name) ? LIMITS[name] : undefined;
    if (!option)
      throw new UsageError(
        `--limit ${word}: there is no limit "${name}". There are ${Object.keys(LIMITS).join(', ')}`,
      );
    limits[option.key] = parseLimit(word, value, option.unit);
  }
  return limits;
}

/** What Node's timers hold. */
const MOST_SECONDS = 2_147_483;

function parseLimit(word: string, value: string, unit: LimitOption['unit']): number {
  const refuse = (what: string) => new UsageError(`--limit ${word}: "${value}" is no ${what}`);
  switch (unit) {
    case 'size': {
      const size = sizeIn(value);
      if (size === undefined || size < 1n || size > 0xffff_ffffn) throw refuse('size from 1 byte to 4 GiB');
      return Number(size);
    }
    case 'count':
      if (!/^[1-9]\d*$/.test(value)) throw refuse('whole number from 1');
      return Number(value);
    case 'seconds':
      if (!/^\d+(\.\d+)?$/.test(value) || Number(value) > MOST_SECONDS) {
        throw refuse(`number of seconds up to ${MOST_SECONDS}`);
      }
      return Number(value) * 1000;
  }
}

function sizeIn(text: string): bigint | undefined {
  try {
    return parseSize(text);
  } catch {
    return undefined;
  }
}
