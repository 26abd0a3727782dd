import { defineFilter, overridePlugin, size, type Plugin } from '@nbd/plugin';
import { collectGarbageSoon, SparseStore } from '@nbd/plugin/store';
import { NbdError, type BlockDevice } from '@nbd/protocol';
import { PerExport } from './per-export.js';
import { readUnaligned } from './unaligned-reads.js';

/** A disk that can be written to, over one that stays as it is. What is written is gone with the server. */
export default defineFilter({
  name: 'cow',
  description: 'Copy on write: what is written stays in memory, and the disk as it is',
  parameters: {
    'max-memory': size({
      help: 'most content to keep; writes past it fail with ENOSPC (default: what the machine has)',
    }),
  },
  examples: ['--filter=cow plugin-file disk.img'],
  onlyReads: true,

  setup:
    ({ 'max-memory': maxBytes }) =>
    (inner) =>
      copyOnWrite(inner, (base) => {
        const backing = readUnaligned(base);
        return new SparseStore(base.size, {
          backing,
          released: collectGarbageSoon,
          ...(maxBytes !== undefined && { maxBytes }),
        });
      }),
});

/** A disk and what was written over it, for all connections. The disk is open until the plugin is closed. */
interface Layer {
  readonly base: BlockDevice;
  readonly store: SparseStore;
}

function copyOnWrite(inner: Plugin, storeOver: (base: BlockDevice) => SparseStore): Plugin {
  const layers = new PerExport<Layer>(inner);
  return overridePlugin(inner, {
    async open(request) {
      const name = await layers.nameOf(request);
      // Each time: the plugin decides who may open it.
      const opened = await inner.open(request);
      const layer = layers.get(name, () => ({ base: opened, store: storeOver(opened) }));
      if (layer.base !== opened) await opened.close?.();
      if (layer.base.size !== opened.size) {
        throw new NbdError(
          'EIO',
          `the disk under filter-cow has ${opened.size} bytes now, and had ${layer.base.size}`,
        );
      }
      return writable(layer);
    },
    async close() {
      for (const { base } of layers.all()) await base.close?.();
      await inner.close?.();
    },
  });
}

function writable({ base: { size, info = {} }, store }: Layer): BlockDevice {
  const { rotational, description, blockSize } = info;
  return {
    size,
    info: {
      // What is written is in the store at once, for all connections: there is nothing to flush.
      multiConn: true,
      fua: true,
      fastZero: true,
      ...(rotational !== undefined && { rotational }),
      ...(description !== undefined && { description }),
      ...(blockSize && { blockSize: { ...blockSize, minimum: 1 } }),
    },
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
  };
}
