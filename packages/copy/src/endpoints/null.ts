import { MAX_DEVICE_SIZE } from '@nbd/protocol';
import type { Destination } from './endpoint.js';

/** Takes everything and keeps nothing. */
export function nullDestination(): Destination {
  return {
    name: 'null:',
    device: {
      size: MAX_DEVICE_SIZE,
      read(_offset, into) {
        into.fill(0);
      },
      write: () => undefined,
      zero: () => undefined,
    },
    isZero: true,
    isStream: true,
    unfinished: undefined,
    finish: () => Promise.resolve(),
    close: () => Promise.resolve(),
    abandon: () => Promise.resolve(),
  };
}
