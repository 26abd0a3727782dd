/** As long as the longest block that is compared in one call. */
const ZEROES = Buffer.alloc(64 << 10);

/** Whether `bytes[start]` to `bytes[end - 1]` are all zero. */
export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  // Most blocks that are data show it in their first bytes: no call into native code then.
  if (bytes[start] !== 0) return start === end;
  for (let at = start; at < end; at += ZEROES.length) {
    const length = Math.min(ZEROES.length, end - at);
    if (ZEROES.compare(bytes, at, at + length, 0, length) !== 0) return false;
  }
  return true;
}

/** A part of a buffer, all zero or not. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly zero: boolean;
}

/**
 * Cuts `bytes` into runs of data and zeroes, at multiples of `block` bytes counted from `phase` before its start: so
 * that zeroes found are aligned on the disk, not in the buffer.
 */
export function* zeroRuns(bytes: Uint8Array, block: number, phase: number): Generator<Run> {
  let start = 0;
  let zero: boolean | undefined;
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + block - ((at + phase) % block));
    const isHole = isZero(bytes, at, end);
    if (zero !== undefined && isHole !== zero) {
      yield { start, end: at, zero };
      start = at;
    }
    zero = isHole;
    at = end;
  }
  if (zero !== undefined) yield { start, end: bytes.length, zero };
}
