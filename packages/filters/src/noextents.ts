import { defineFilter, liftDevice } from '@nbd/plugin';
import { overrideDevice, type BlockDevice } from '@nbd/protocol';

/** Hides where a disk is sparse, for clients to read all of it. */
export default defineFilter({
  name: 'noextents',
  description: 'Tells of no holes: the disk is data all over',
  examples: ['--filter=noextents plugin-file disk.img'],
  setup: () => liftDevice(withoutExtents),
});

function withoutExtents(device: BlockDevice): BlockDevice {
  // Other meta contexts are extents as well.
  const { contexts: _, ...info } = device.info ?? {};
  return overrideDevice(device, {
    info,
    extents: undefined,
    read: (offset, into, options) => device.read(offset, into, options?.signal && { signal: options.signal }),
  });
}
