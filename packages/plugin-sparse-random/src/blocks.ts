/** Bytes of a block, the unit of data and holes. */
export const BLOCK_SIZE = 4096;

const SIZE = BigInt(BLOCK_SIZE);

/** The block that holds the byte at this offset. */
export function blockAt(offset: bigint): number {
  return Number(offset / SIZE);
}

/** The first block that begins at this offset or later. */
export function blockFrom(offset: bigint): number {
  return Number((offset + SIZE - 1n) / SIZE);
}

/** Where the block begins, in bytes. */
export function offsetOf(block: number): bigint {
  return BigInt(block) * SIZE;
}
