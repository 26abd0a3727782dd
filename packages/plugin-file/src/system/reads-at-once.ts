import { readSync, statfsSync } from 'node:fs';
import type { LocatedSink } from '@nbd/protocol';
import { hasCode } from '../errors.js';
import type { System } from './system.js';

/** `f_type` of tmpfs in statfs(2). */
const TMPFS_MAGIC = 0x0102_1994;

/** Whether a file is on tmpfs: nothing waits for a disk. */
export function isInMemory(path: string | Uint8Array): boolean {
  return process.platform === 'linux' && statfsSync(path as string).type === TMPFS_MAGIC;
}

/** Reads, or locates, on this thread what takes no waiting for a disk, from files of one file system. */
export class ReadsAtOnce {
  private readonly system: System | undefined;
  private readonly inMemory: boolean;
  /** Whether the file system tells what it has in memory, by `readCached` and by `isCached`. */
  private tellsCached: boolean;
  private tellsPages: boolean;

  /** @param inMemory what `isInMemory` says of the files */
  constructor(system: System | undefined, inMemory: boolean) {
    this.system = system;
    this.inMemory = inMemory;
    this.tellsCached = system !== undefined;
    this.tellsPages = system !== undefined;
  }

  /**
   * @param position bytes from the start of the file
   * @returns how many bytes were read: fewer than asked for, and maybe none, where the rest has to be waited for, or the
   *   file ends
   * @throws what Node's `fs` would
   */
  read(fd: number, into: Uint8Array, position: bigint): number {
    if (this.inMemory) return readSync(fd, into, 0, into.length, position);
    if (!this.tellsCached) return 0;
    try {
      return this.system!.readCached(fd, into, position);
    } catch (error) {
      if (!hasCode(error, 'ENOTSUP', 'EINVAL', 'ENOSYS')) throw error;
      this.tellsCached = false;
      return 0;
    }
  }

  /**
   * Gives a part of a file to `sink`.
   * @returns whether all of it is there now: not where it has to be waited for, or the file ends before
   */
  locate(fd: number, position: bigint, length: number, sink: LocatedSink): boolean {
    return (this.inMemory || this.isCached(fd, position, length)) && sink.addFile(fd, position, length);
  }

  private isCached(fd: number, position: bigint, length: number): boolean {
    if (!this.tellsPages) return false;
    try {
      return this.system!.isCached(fd, position, length);
    } catch {
      this.tellsPages = false;
      return false;
    }
  }
}
