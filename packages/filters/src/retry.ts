import { boolean, defineFilter, integer, overridePlugin } from '@nbd/plugin';
import { overrideDevice, type BlockDevice, type ZeroOptions } from '@nbd/protocol';
import { duration } from './duration.js';
import { PerExport } from './per-export.js';
import { Reopened, type Durability } from './retry/reopened.js';
import { firstPart, holesOnce } from './retry/once.js';

/** Opens a disk again when it fails, and repeats what failed. */
export default defineFilter({
  name: 'retry',
  description: 'Opens a disk that fails again, and repeats what failed',
  parameters: {
    retries: integer({ positional: true, default: 5, min: 0, max: 1000, help: 'how often to try again' }),
    delay: duration({ default: 2000, help: 'how long to wait before' }),
    exponential: boolean({ default: true, help: 'wait twice as long each time' }),
  },
  examples: ['--filter=retry,retries=3,delay=1s ./http.js https://example.org/disk.img'],

  setup: ({ retries, delay, exponential }, { log }) => {
    const policy = { retries, delayBefore: (n: number) => delay * (exponential ? 2 ** (n - 1) : 1), log };
    return (inner) => {
      const durability = new PerExport<Durability>(inner);
      return overridePlugin(inner, {
        async open(request) {
          const name = await durability.nameOf(request);
          const device = await inner.open(request);
          const shared = durability.get(name, () => ({ written: 0, flushed: 0, losses: 0 }));
          return retrying(device, new Reopened(device, () => inner.open(request), shared, policy));
        },
      });
    };
  },
});

function retrying(first: BlockDevice, disk: Reopened): BlockDevice {
  const changes = (options: ZeroOptions | undefined) => ({
    signal: options?.signal,
    leavesUnflushed: !(options?.fua === true && first.info?.fua === true),
  });
  return overrideDevice(first, {
    read(offset, into, options) {
      const holes = holesOnce(options);
      const reading = disk.run(options, (device) => device.read(offset, into, holes.options()));
      return holes.after(reading);
    },
    ...(first.write && {
      write: (offset, from, options) =>
        disk.run(changes(options), (device) => device.write!(offset, from, options)),
    }),
    ...(first.zero && {
      zero: (offset, length, options) =>
        disk.run(changes(options), (device) => device.zero!(offset, length, options)),
    }),
    ...(first.trim && {
      trim: (offset, length, options) =>
        disk.run(changes(options), (device) => device.trim!(offset, length, options)),
    }),
    ...(first.cache && {
      cache: (offset, length, options) =>
        disk.run(options, (device) => device.cache!(offset, length, options)),
    }),
    ...(first.extents && {
      extents: (offset, length, sink, options) =>
        disk.run(options, (device) =>
          firstPart(sink, (part) => device.extents!(offset, length, part, options)),
        ),
    }),
    ...(first.flush && { flush: (options) => disk.flush((device) => device.flush!(options)) }),
    close: () => disk.close(),
  });
}
