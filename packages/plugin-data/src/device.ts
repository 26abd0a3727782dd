import type { BlockDevice } from '@nbd/protocol';
import type { SparseStore } from '@nbd/plugin/store';

/** Most extents that one call describes, to bound its work. */
const MOST_EXTENTS = 4096;

/** A disk over a store that others share. Nothing outlives the store, so that what is written is as safe as it can be. */
export function deviceOver(store: SparseStore): BlockDevice {
  return {
    size: store.size,
    info: { multiConn: true, fastZero: true, fua: true },
    read: (offset, into, options) => store.read(offset, into, options),
    write: (offset, from) => store.write(offset, from),
    zero: (offset, length, options) => store.zero(offset, length, options),
    trim: (offset, length) => {
      store.trim(offset, length);
    },
    flush: () => undefined,
    extents(offset, length, sink) {
      let left = MOST_EXTENTS;
      return store.extents(offset, length, { add: (part, flags) => sink.add(part, flags) && --left > 0 });
    },
  };
}
