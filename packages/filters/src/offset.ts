import { defineFilter, liftDevice, size } from '@nbd/plugin';
import { NbdError } from '@nbd/protocol';
import { slice } from './slice.js';

/** A disk that lies somewhere inside of another. */
export default defineFilter({
  name: 'offset',
  description: 'A part of a disk as a disk',
  parameters: {
    offset: size({ positional: true, default: 0n, help: 'where it begins' }),
    range: size({ help: 'how long it is (default: up to the end)' }),
  },
  examples: ['--filter=offset,1M,range=64M plugin-file disk.img'],

  setup: ({ offset, range }) =>
    liftDevice((device) => {
      if (offset > device.size) {
        throw new NbdError(
          'EINVAL',
          `offset=${offset} is past the end of the disk, which has ${device.size} bytes`,
        );
      }
      return slice(device, offset, range ?? device.size - offset, 'the part');
    }),
});
