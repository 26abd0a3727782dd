import { ExtentFlag, type BlockDevice } from '@nbd/protocol';
export interface Extent {
  offset: bigint;
  length: bigint;
  flags: number;
  hole: boolean;
  zero: boolean;
}
export async function* iterateExtents(
  disk: Pick<BlockDevice, 'extents'>,
  offset: bigint,
  length: bigint,
  options: object,
): AsyncGenerator<Extent, void> {
  let at = offset;
  const end = offset + length;
  while (at < end) {
    const got: Extent[] = [];
    await disk.extents!(
      at,
      end - at,
      {
        add(length, flags) {
          if (at >= end) return false;
          if (length > end - at) length = end - at;
          got.push({
            offset: at,
            length,
            flags,
            hole: (flags & ExtentFlag.HOLE) !== 0,
            zero: (flags & ExtentFlag.ZERO) !== 0,
          });
          at += length;
          return true;
        },
      },
      options,
    );
    yield* got;
  }
}
