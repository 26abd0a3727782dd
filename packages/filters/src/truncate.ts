import { defineFilter, liftDevice, size } from '@nbd/plugin';
import {
  BASE_ALLOCATION,
  ExtentFlag,
  MAX_DEVICE_SIZE,
  NbdError,
  type Awaitable,
  type BlockDevice,
  overrideDevice,
} from '@nbd/protocol';
import { isZero } from '@nbd/plugin/store';
import { slice } from './slice.js';

/** A disk of another size: cut off, or followed by zeroes that nothing can be written over. */
export default defineFilter({
  name: 'truncate',
  description: 'Cuts a disk off, or makes it longer by zeroes that stay zeroes',
  parameters: {
    size: size({ positional: true, help: 'its new size (default: what it has)' }),
    'round-up': size({ min: 1n, help: 'make that a multiple of this, by making it larger' }),
    'round-down': size({ min: 1n, help: 'make that a multiple of this, by making it smaller' }),
  },
  examples: [
    '--filter=truncate,round-up=1M plugin-file disk.img',
    '--filter=truncate,1G plugin-file disk.img',
  ],

  setup({ size, 'round-up': up = 1n, 'round-down': down = 1n }) {
    const newSize = (old: bigint) => {
      const wanted = size ?? old;
      const larger = wanted + ((up - (wanted % up)) % up);
      return larger - (larger % down);
    };
    return liftDevice((device) => resized(device, newSize(device.size)));
  },
});

function resized(device: BlockDevice, size: bigint): BlockDevice {
  if (size <= device.size) return slice(device, 0n, size, 'the truncated disk');
  if (size > MAX_DEVICE_SIZE) throw new NbdError('EINVAL', `a disk of ${size} bytes: 2^63 - 1 are the most`);
  const { minimum = 1 } = device.info?.blockSize ?? {};
  if (size % BigInt(minimum) !== 0n) {
    throw new NbdError(
      'EINVAL',
      `${size} bytes are not whole blocks of the disk: they have ${minimum} bytes`,
    );
  }
  return lengthened(device, size);
}

function lengthened(device: BlockDevice, size: bigint): BlockDevice {
  const end = device.size;
  /** How much of a range is on the disk. */
  const within = (offset: bigint, length: bigint): bigint => {
    if (offset >= end) return 0n;
    return length < end - offset ? length : end - offset;
  };
  const refuse = (): never => {
    throw new NbdError('ENOSPC', `the disk ends at ${end}: what filter-truncate adds stays zeroes`, {
      offset: end,
    });
  };

  return overrideDevice(device, {
    size,

    read(offset, into, options) {
      const inside = Number(within(offset, BigInt(into.length)));
      if (inside < into.length) {
        into.fill(0, inside);
        options?.holes?.add(offset + BigInt(inside), BigInt(into.length - inside));
      }
      if (inside > 0) return device.read(offset, into.subarray(0, inside), options);
    },

    ...(device.write && {
      write(offset, from, options) {
        const inside = Number(within(offset, BigInt(from.length)));
        if (!isZero(from, inside, from.length)) refuse();
        if (inside > 0) return device.write!(offset, from.subarray(0, inside), options);
      },
    }),

    ...(device.zero && {
      zero(offset, length, options) {
        const inside = within(offset, length);
        // NO_HOLE promises that later writes find room.
        if (inside < length && options?.noHole) refuse();
        if (inside > 0n) return device.zero!(offset, inside, options);
      },
    }),

    ...(device.trim && {
      trim(offset, length, options) {
        const inside = within(offset, length);
        if (inside > 0n) return device.trim!(offset, inside, options);
      },
    }),

    ...(device.cache && {
      cache(offset, length, options) {
        const inside = within(offset, length);
        if (inside > 0n) return device.cache!(offset, inside, options);
      },
    }),

    extents(offset, length, sink, options): Awaitable<void> {
      const inside = within(offset, length);
      let left = inside;
      let more = true;
      const add = (extent: bigint, flags: number): boolean => {
        const cut = extent < left ? extent : left;
        left -= cut;
        more = sink.add(cut, flags);
        return more && left > 0n;
      };
      const addRest = (): void => {
        if (!more || left > 0n || inside === length) return;
        const isAllocation = (options?.context ?? BASE_ALLOCATION) === BASE_ALLOCATION;
        sink.add(length - inside, isAllocation ? ExtentFlag.HOLE | ExtentFlag.ZERO : 0);
      };
      if (inside > 0n) {
        if (!device.extents) add(inside, 0);
        else {
          const asked = device.extents(offset, inside, { add }, options);
          if (asked !== undefined) return asked.then(addRest);
        }
      }
      addRest();
    },
  });
}
