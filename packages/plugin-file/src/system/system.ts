/** `shared` for those who read, `exclusive` for one who writes. */
export type LockKind = 'shared' | 'exclusive';

/**
 * Linux system calls that Node has not, or not for positions past 2^53-1. Descriptors are Node's; positions and
 * lengths are bytes, up to 2^63-1.
 *
 * All throw (or reject with) errors as Node's own `fs` makes them: `code` is `ENOSPC`, `syscall` is `fallocate`.
 */
export interface System {
  /**
   * Where data begins, at `from` or after it; undefined if there is none up to the end of the file. Throws `EINVAL` if
   * the file can't tell: a block device can't.
   */
  seekData(fd: number, from: bigint): bigint | undefined;
  /** Where a hole begins, at `from` or after it: at the latest, at the end of the file. Throws as `seekData`. */
  seekHole(fd: number, from: bigint): bigint;
  /** The size of a file or a block device. */
  seekEnd(fd: number): bigint;

  /**
   * Reads what is in memory already, without waiting for a disk.
   * @returns how many bytes were read: fewer than asked for, and maybe none, if the rest is not in memory.
   * @throws ENOTSUP if the file system can't tell.
   */
  readCached(fd: number, into: Uint8Array, position: bigint): number;
  /**
   * Whether a part of a file is in memory, so that nobody who reads it waits for a disk.
   * @throws ENOSYS before Linux 6.5, EPERM for who may not know, ENOTSUP if the file system can't tell.
   */
  isCached(fd: number, position: bigint, length: number): boolean;
  /**
   * Writes at any position, where `fs.write` can't past 2^53-1.
   * @returns how many bytes were written, at least 1 unless `from` is empty.
   */
  write(fd: number, from: Uint8Array, position: bigint): Promise<number>;

  /** Makes a file longer, by a hole, or shorter. */
  truncate(fd: number, size: bigint): Promise<void>;

  /** Makes a range a hole: it reads as zeroes, and its space is free. Throws `ENOTSUP` where that can't be done. */
  punchHole(fd: number, position: bigint, length: bigint): Promise<void>;
  /** Makes a range zeroes, with its space allocated. Throws `ENOTSUP` where that can't be done: on tmpfs. */
  zeroRange(fd: number, position: bigint, length: bigint): Promise<void>;
  /** Allocates what is not, for writes to have their space. Throws `ENOTSUP` where that can't be done. */
  allocate(fd: number, position: bigint, length: bigint): Promise<void>;
  /** Tells a block device that a range is not needed any more. Throws `ENOTSUP` where it does not care. */
  discard(fd: number, position: bigint, length: bigint): Promise<void>;

  /**
   * Locks the whole file until the descriptor is closed, also against other descriptors of this process. An exclusive
   * lock needs one that may write. Other programs that lock files keep to it, such as qemu.
   * @returns false if somebody else has it.
   */
  lock(fd: number, kind: LockKind): boolean;
}
