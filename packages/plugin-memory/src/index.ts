import { totalmem } from 'node:os';
import { definePlugin, size } from '@nbd/plugin';
import { collectGarbageSoon, SparseStore } from '@nbd/plugin/store';
import { MAX_DEVICE_SIZE } from '@nbd/protocol';

/** A disk that takes memory only where something other than zeroes was written, and is gone with the server. */
export default definePlugin({
  name: 'memory',
  description: 'A sparse disk in memory, up to 8 EiB',
  parameters: {
    size: size({ required: true, positional: true, max: MAX_DEVICE_SIZE, help: 'size of the disk' }),
    'max-memory': size({
      help: 'most content to keep; writes past it fail with ENOSPC (default: 3/4 of what the machine has)',
    }),
  },
  examples: ['plugin-memory 1G', 'plugin-memory 7E max-memory=2G'],

  setup: ({ size, 'max-memory': maxBytes = BigInt(3 * Math.floor(machineMemory() / 4)) }) =>
    new SparseStore(size, { maxBytes, released: collectGarbageSoon }),

  open: (_request, store) => ({
    size: store.size,
    // What is written is in the store at once, for all connections: there is nothing to flush.
    info: { multiConn: true, fastZero: true, fua: true },

    read: (offset, into, options) => store.read(offset, into, options),
    write: (offset, from) => store.write(offset, from),
    zero: (offset, length, options) => store.zero(offset, length, options),
    trim(offset, length) {
      store.trim(offset, length);
    },
    flush() {
      store.flush();
    },
    extents: (offset, length, sink) => store.extents(offset, length, sink),
  }),
});

/** Bytes of memory that there is for this process: the container's, where there is one. */
function machineMemory(): number {
  // 0 if nobody knows, and more than there is where nothing is constrained.
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
