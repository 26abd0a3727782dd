import { BASE_ALLOCATION, MAX_DEVICE_SIZE } from '@nbd/protocol';
import type { BlockDevice, BlockSize } from '@nbd/protocol';

/** Checks what a device says about itself. */
export function checkDescription(device: BlockDevice): void {
  const { size, info } = device;
  if (typeof size !== 'bigint') throw new Error(`size is ${String(size)}, not a bigint`);
  if (size < 0n || size > MAX_DEVICE_SIZE) throw new Error(`size is ${size}, not between 0 and 2^63 - 1`);
  if (info?.blockSize) checkBlockSize(info.blockSize);
  if (info?.fastZero && !device.zero) throw new Error('info.fastZero is true, but there is no zero');
  if (info?.contexts?.length && !device.extents)
    throw new Error('info.contexts names contexts, but there is no extents');
  for (const context of info?.contexts ?? []) {
    if (context === BASE_ALLOCATION)
      throw new Error(`info.contexts names ${BASE_ALLOCATION}, which all extents answer`);
    if (!/^[^:]+:./.test(context))
      throw new Error(`info.contexts names '${context}', which is not like x-namespace:name`);
  }
}

/** Protocol document, "Size constraints". */
function checkBlockSize({ minimum, preferred, maximum }: BlockSize): void {
  if (!isPowerOf2(minimum) || minimum > 65536) {
    throw new Error(`info.blockSize.minimum is ${minimum}, not a power of 2 between 1 and 65536`);
  }
  if (!isPowerOf2(preferred) || preferred < Math.max(minimum, 512)) {
    throw new Error(
      `info.blockSize.preferred is ${preferred}, not a power of 2 of at least ${Math.max(minimum, 512)}`,
    );
  }
  if (!Number.isInteger(maximum) || maximum < preferred || maximum > 2 ** 32 - 1) {
    throw new Error(`info.blockSize.maximum is ${maximum}, not between ${preferred} and 2^32 - 1`);
  }
}

function isPowerOf2(value: number): boolean {
  return Number.isInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}
