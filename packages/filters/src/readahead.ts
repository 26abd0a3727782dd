import { defineFilter, size } from '@nbd/plugin';
import { overrideDevice, type BlockDevice } from '@nbd/protocol';
import type { BlockCache } from './block-cache.js';
import { withCache } from './cached-plugin.js';

/** Bytes that are read ahead at first. */
const FIRST_WINDOW = 128n << 10n;

/** Reads ahead of clients that read in order. What is written is not served from before. */
export default defineFilter({
  name: 'readahead',
  description: 'Reads ahead of clients that read in order',
  parameters: {
    window: size({
      positional: true,
      default: 4n << 20n,
      min: FIRST_WINDOW,
      max: 1n << 30n,
      help: 'most to read ahead; it takes four times that of memory',
    }),
  },
  examples: ['--filter=readahead ./http.js https://example.org/disk.img'],

  setup: ({ window }) => withCache(4n * window, (device, cache) => readingAhead(device, cache, window)),
});

function readingAhead(device: BlockDevice, cache: BlockCache, longest: bigint): BlockDevice {
  const underWay = new Set<Promise<void>>();
  const closing = new AbortController();
  /** How far to read ahead of the client; 0 as long as it jumps. */
  let window = 0n;
  /** Where it goes on if it reads in order. */
  let expected = 0n;
  /** All up to here was asked for. */
  let ahead = 0n;

  /** Requests of one client may overtake each other: near is in order. */
  const isInOrder = (offset: bigint, end: bigint): boolean => {
    const slack = window > FIRST_WINDOW ? window : FIRST_WINDOW;
    return offset <= expected + slack && end + slack >= expected;
  };

  const readAhead = (): void => {
    const start = ahead > expected ? ahead : expected;
    const end = expected + window < device.size ? expected + window : device.size;
    // In large pieces, not a little after each read.
    if (start >= end || (end - start < window / 2n && end < device.size)) return;
    ahead = end;
    const prefetch = cache.prefetch(device, start, end - start, { signal: closing.signal });
    if (prefetch === undefined) return;
    // Whoever wants what could not be read will be told then.
    const settled = prefetch.catch(() => undefined).finally(() => underWay.delete(settled));
    underWay.add(settled);
  };

  return overrideDevice(device, {
    read(offset, into, options) {
      const end = offset + BigInt(into.length);
      if (BigInt(into.length) >= longest) {
        // What would be read ahead is less than what it asks for at once.
        expected = ahead = end;
        return device.read(offset, into, options);
      }
      if (!isInOrder(offset, end)) {
        window = 0n;
        expected = ahead = end;
        return cache.has(offset, into.length)
          ? cache.read(device, offset, into, options)
          : device.read(offset, into, options);
      }
      if (end > expected) expected = end;
      window = window === 0n ? FIRST_WINDOW : window;
      const result = cache.read(device, offset, into, options);
      if (expected + window / 2n > ahead) {
        window = window * 2n < longest ? window * 2n : longest;
        readAhead();
      }
      return result;
    },

    async close() {
      closing.abort(new Error('the connection is closed'));
      await Promise.all(underWay);
      await device.close?.();
    },
  });
}
