/** The index of the first byte from `start` up to `end` that is not `byte`, or -1. */
export function firstOtherThan(byte: number, bytes: Buffer, start = 0, end = bytes.length): number {
  // If the first byte is right and every other one equals the one before it, all are right: one native comparison.
  if (bytes[start] === byte && bytes.compare(bytes, start, end - 1, start + 1, end) === 0) return -1;
  for (let i = start; i < end; i++) if (bytes[i] !== byte) return i;
  return -1;
}

/** The index of the first byte of `bytes`, from `start` up to `end`, that is not as in `other` from `at` on, or -1. */
export function firstDifference(
  bytes: Buffer,
  start: number,
  end: number,
  other: Buffer,
  at: number,
): number {
  if (bytes.compare(other, at, at + end - start, start, end) === 0) return -1;
  for (let i = start; i < end; i++) if (bytes[i] !== other[at + i - start]) return i;
  return -1;
}
