export const DISK_SIZE = 1 << 16;

/** A byte that is nowhere on the disk. */
export const SENTINEL = 0xee;

/** A part that is zeroes: only there is anything zeroed or trimmed, so that the disk is the same at any time. */
export const HOLE = { start: 16_384, end: 32_768 };

const CONTENT = Uint8Array.from({ length: DISK_SIZE }, (_, i) =>
  i >= HOLE.start && i < HOLE.end ? 0 : 1 + (((i * 7) ^ (i >> 9)) % 200),
);

export function freshDisk(): Uint8Array {
  return CONTENT.slice();
}

export function content(offset: number, length: number): Uint8Array {
  return CONTENT.subarray(offset, offset + length);
}
