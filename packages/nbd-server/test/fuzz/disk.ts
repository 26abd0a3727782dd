import { NbdError, type BlockDevice } from '@nbd/protocol';
import type { Plugin } from '@nbd/plugin';
import type { Random } from './random.js';

export const DISK_SIZE = 1 << 20;

export const HOLE = { start: 300_000, end: 420_000 };

const CONTENT = Uint8Array.from({ length: DISK_SIZE }, (_, i) =>
  i >= HOLE.start && i < HOLE.end ? 0 : 1 + (((i * 7) ^ (i >> 9)) % 255),
);

/** The bytes from `offset` on, whatever is done to the disk: then the order of requests does not matter. */
export function content(offset: number, length: number): Uint8Array {
  return CONTENT.subarray(offset, offset + length);
}

/** What a plugin saw and did. */
export interface Seen {
  opened: number;
  closed: number;
  /** Faults of the server: calls that a device must not see, or that carry wrong data. */
  readonly faults: string[];
}

/** How a device behaves. */
export interface Mood {
  /** One of how many calls is answered later; 0 for none. */
  readonly later: number;
  /** One of how many calls fails; 0 for none. */
  readonly failing: number;
  /** Some calls are never answered. */
  readonly stuck: boolean;
  readonly block: number;
  /** Payloads of writes may be anything. */
  readonly anyData: boolean;
}

/** A plugin with the exports `''` and `second`, whose device checks every call. */
export function fuzzPlugin(random: Random, mood: Mood, seen: Seen): Plugin {
  return {
    name: 'fuzz',
    exports: () => [{ name: '', description: 'the first one' }, { name: 'second' }],
    open({ exportName }) {
      if (exportName !== '' && exportName !== 'second') throw new NbdError('ENOENT', 'no such export');
      if (mood.failing > 0 && random.oneIn(4 * mood.failing)) throw new Error('it does not open');
      seen.opened++;
      const device = fuzzDevice(random, mood, seen);
      return random.oneIn(4) ? later(random, device) : device;
    },
  };
}

function fuzzDevice(random: Random, mood: Mood, seen: Seen): BlockDevice {
  let isClosed = false;
  const { block } = mood;
  const act = (what: string, offset: bigint, length: bigint): void | Promise<void> => {
    if (isClosed) seen.faults.push(`${what} after close`);
    if (offset < 0n || length < 1n || offset + length > BigInt(DISK_SIZE)) {
      seen.faults.push(`${what} of ${length} bytes at ${offset}`);
    }
    if (offset % BigInt(block) !== 0n || length % BigInt(block) !== 0n) {
      seen.faults.push(`${what} of ${length} bytes at ${offset}, not aligned to ${block}`);
    }
    if (mood.stuck && random.oneIn(50)) return new Promise(() => undefined);
    if (mood.failing > 0 && random.oneIn(mood.failing)) return fail(random);
    if (mood.later > 0 && random.oneIn(mood.later)) return later(random, undefined);
  };
  return {
    size: BigInt(DISK_SIZE),
    info: {
      fua: block === 1,
      fastZero: block === 1,
      blockSize: { minimum: block, preferred: 4096, maximum: DISK_SIZE },
      contexts: ['x-fuzz:parity'],
    },
    read(offset, into, options) {
      const result = act('read', offset, BigInt(into.length));
      into.set(content(Number(offset), into.length));
      options?.holes?.add(BigInt(HOLE.start), BigInt(HOLE.end - HOLE.start));
      return result;
    },
    write(offset, from) {
      const right = content(Number(offset), from.length);
      // Where the device can't zero, the server writes zeroes.
      const isWrong =
        Buffer.compare(from, right) !== 0 && from.some((byte, i) => byte !== 0 && byte !== right[i]);
      if (isWrong && !mood.anyData) seen.faults.push(`wrong data written at ${offset}`);
      return act('write', offset, BigInt(from.length));
    },
    ...(block === 1 && { zero: (offset: bigint, length: bigint) => act('zero', offset, length) }),
    trim: (offset, length) => act('trim', offset, length),
    cache: (offset, length) => act('cache', offset, length),
    flush: () => act('flush', 0n, BigInt(block)),
    extents(offset, length, sink) {
      // Less than is asked for, or more: it is the sink that knows when to stop.
      let left = random.oneIn(2) ? length : BigInt(2 * DISK_SIZE);
      for (let flags = 0; left > 0n; flags ^= 3) {
        const step = BigInt(block * random.upTo(100));
        if (!sink.add(step, flags)) break;
        left -= random.oneIn(10) ? left : step;
      }
      return act('extents', offset, length);
    },
    close() {
      if (isClosed) seen.faults.push('closed twice');
      isClosed = true;
      seen.closed++;
    },
  };
}

function fail(random: Random): Promise<void> {
  const error = random.pick([
    new Error('a fault'),
    new NbdError('ENOSPC', 'full'),
    new NbdError('ENOTSUP', 'no'),
  ]);
  if (random.oneIn(2)) throw error;
  return Promise.reject(error);
}

async function later<T>(random: Random, value: T): Promise<T> {
  for (let turns = random.below(3); turns > 0; turns--) await Promise.resolve();
  if (random.oneIn(8)) await new Promise((resolve) => setImmediate(resolve));
  return value;
}
