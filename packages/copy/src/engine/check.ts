import { NbdError, type BlockDevice } from '@nbd/protocol';
import type { StreamOptions } from './options.js';

/**
 * Whether a source of so many bytes, or of unknown size, may be copied to the destination.
 * @throws NbdError ENOSPC if the destination is too small, EROFS if it can't be written
 */
export function checkDestination(
  destination: BlockDevice,
  size: bigint | undefined,
  { names }: StreamOptions,
): void {
  const name = names?.destination ?? 'the destination';
  if (!destination.write || destination.info?.readOnly === true) {
    throw new NbdError('EROFS', `${name} is read-only`);
  }
  if (size !== undefined && destination.size < size) {
    throw new NbdError(
      'ENOSPC',
      `${name} is too small: it has ${destination.size} bytes, and ${names?.source ?? 'the source'} has ${size}`,
    );
  }
}
