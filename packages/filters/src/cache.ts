import { defineFilter, size } from '@nbd/plugin';
import { overrideDevice } from '@nbd/protocol';
import { withCache } from './cached-plugin.js';

/** Keeps what was read, for disks that are far away. Writes go through, and change what is kept. */
export default defineFilter({
  name: 'cache',
  description: 'Keeps what was read last in memory',
  parameters: {
    size: size({ positional: true, default: 64n << 20n, min: 1n << 20n, help: 'memory for each export' }),
  },
  examples: ['--filter=cache,256M plugin-file /mnt/nfs/disk.img'],

  setup: ({ size }) =>
    withCache(size, (device, cache) =>
      overrideDevice(device, {
        read: (offset, into, options) => cache.read(device, offset, into, options),
        cache: (offset, length, options) => cache.prefetch(device, offset, length, options),
      }),
    ),
});
