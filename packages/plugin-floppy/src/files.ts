import { closeSync, constants, fstatSync, lstatSync, openSync, read, type BigIntStats } from 'node:fs';
import { loadSystem, isInMemory, ReadsAtOnce } from '@nbd/plugin-file/system';
import { NbdError, type Awaitable, type LocatedSink } from '@nbd/protocol';
import { fsPath, printable } from './byte-string.js';
import { pathOfChild, type File, type FileList } from './tree.js';

/**
 * Reads the tree's files as long as they are what they were when it was walked. Every read of one that was changed,
 * replaced or deleted since then fails, and the log says so once.
 */
export class FileReader {
  readonly #files: FileList;
  readonly #warn: (message: string) => void;
  /** By the number of the file. The one whose last use is longest ago comes first. */
  readonly #handles = new Map<number, Handle>();
  /** Reads that wait for a handle. The end of each read wakes one of them. */
  readonly #waiting: (() => void)[] = [];
  /** Numbers of files. */
  readonly #reported = new Set<number>();
  /** By their number. */
  readonly #fileSystems = new Map<bigint, ReadsAtOnce>();
  #closed = false;

  constructor(files: FileList, warn: (message: string) => void) {
    this.#files = files;
    this.#warn = warn;
  }

  /**
   * Fills `into` with the file's bytes from `position` on.
   * @param file its number in the list
   * @param into ends within the size that the file had.
   * @throws NbdError EIO if it is no longer the same file, or can't be read; `into` then holds anything.
   */
  read(file: number, position: number, into: Uint8Array): Awaitable<void> {
    let handle: Handle | undefined;
    try {
      handle = this.#take(file);
      if (handle !== undefined && this.#readAtOnce(handle, position, into)) return;
    } catch (error) {
      throw this.#failure(file, error);
    }
    return this.#readOnThread(file, handle, position, into);
  }

  /**
   * Gives the file's bytes from `position` on to `sink`.
   * @returns whether it has them all, and the file is the same: where not, {@link read} says why.
   */
  locate(file: number, position: number, length: number, sink: LocatedSink): boolean {
    try {
      const handle = this.#take(file);
      if (handle === undefined) return false;
      if (!this.#readsAtOnce(handle).locate(handle.descriptor, BigInt(position), length, sink)) return false;
      checkUnchanged(handle);
      return true;
    } catch {
      return false;
    }
  }

  /** Closes all files, at once or with the end of the reads that are under way. Further reads fail. */
  close(): void {
    this.#closed = true;
    for (const handle of this.#handles.values()) this.#discard(handle);
  }

  /** A handle for the file, which now is the last one used; undefined while there are no more to be had. */
  #take(file: number): Handle | undefined {
    if (this.#closed) throw new Error('the disk is closed');
    let handle = this.#handles.get(file);
    if (handle === undefined) {
      if (this.#handles.size >= MAX_HANDLES && !this.#closeAnIdleOne()) return undefined;
      handle = open(file, this.#files.at(file));
    }
    this.#handles.delete(file);
    this.#handles.set(file, handle);
    return handle;
  }

  #closeAnIdleOne(): boolean {
    for (const handle of this.#handles.values()) {
      if (handle.readers > 0) continue;
      this.#close(handle);
      return true;
    }
    return false;
  }

  /** @returns whether all of it was there without waiting for a disk */
  #readAtOnce(handle: Handle, position: number, into: Uint8Array): boolean {
    if (into.length > LONGEST_AT_ONCE) return false;
    const { descriptor } = handle;
    try {
      if (this.#readsAtOnce(handle).read(descriptor, into, BigInt(position)) < into.length) return false;
      checkUnchanged(handle);
      return true;
    } catch (error) {
      this.#discard(handle);
      throw error;
    }
  }

  async #readOnThread(
    file: number,
    handle: Handle | undefined,
    position: number,
    into: Uint8Array,
  ): Promise<void> {
    try {
      while (handle === undefined) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        handle = this.#take(file);
      }
      await this.#readWith(handle, position, into);
    } catch (error) {
      throw this.#failure(file, error);
    } finally {
      this.#waiting.shift()?.();
    }
  }

  async #readWith(handle: Handle, position: number, into: Uint8Array): Promise<void> {
    handle.readers++;
    try {
      await readFully(handle.descriptor, position, into);
      // Afterwards: what was written before or meanwhile has left its time in the inode.
      checkUnchanged(handle);
    } catch (error) {
      handle.discard = true;
      throw error;
    } finally {
      handle.readers--;
      if (handle.discard && handle.readers === 0) this.#close(handle);
    }
  }

  #readsAtOnce({ file }: Handle): ReadsAtOnce {
    const device = file.parent.files.device(file.place);
    let reads = this.#fileSystems.get(device);
    if (reads === undefined) {
      reads = new ReadsAtOnce(loadSystem().system, isInMemory(fsPath(pathOfChild(file))));
      this.#fileSystems.set(device, reads);
    }
    return reads;
  }

  /** It is closed when nobody reads. */
  #discard(handle: Handle): void {
    handle.discard = true;
    if (handle.readers === 0) this.#close(handle);
  }

  #close(handle: Handle): void {
    this.#handles.delete(handle.number);
    closeSync(handle.descriptor);
  }

  #failure(file: number, error: unknown): NbdError {
    const path = printable(pathOfChild(this.#files.at(file)));
    const why = error instanceof Changed ? error.message : `can't be read: ${codeOf(error)}`;
    if (!this.#reported.has(file)) {
      this.#reported.add(file);
      this.#warn(`${path} ${why}; reads of its data fail until the disk is made anew`);
    }
    return new NbdError('EIO', `${path} ${why}`, { cause: error });
  }
}

/** Bytes; what is cached is copied on this thread up to here, which takes 0.2 ms. Another thread takes longer to wake. */
const LONGEST_AT_ONCE = 1 << 20;

/** Reads run on libuv's few threads: more files open at once would speed up nothing. */
const MAX_HANDLES = 64;

/** An open file that is, or was when it was opened, the one that the tree has. */
interface Handle {
  readonly number: number;
  readonly file: File;
  readonly descriptor: number;
  /** Reads under way. */
  readers: number;
  /** The inode's change time when its path was last seen to lead to it. */
  seenNs: bigint;
  /** To be closed when nobody reads. */
  discard: boolean;
}

/** Why a file is not what it was, to be put behind its name. */
class Changed extends Error {}

/**
 * Synchronous, as `fstat` is: the walk has brought the inode into memory. A read of a small file then takes one trip to
 * another thread, not four, and less than half the time.
 */
function open(number: number, file: File): Handle {
  const path = fsPath(pathOfChild(file));
  let descriptor: number;
  try {
    descriptor = openSync(path, FLAGS);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') throw new Changed('was deleted');
    if (codeOf(error) === 'ELOOP') throw new Changed('was replaced');
    throw error;
  }
  try {
    const stats = fstatSync(descriptor, { bigint: true });
    // Also when a directory on the way to it was replaced, by a link that leads elsewhere perhaps.
    if (!isSameFile(stats, file)) throw new Changed('was replaced');
    checkContent(stats, file);
    return { number, file, descriptor, readers: 0, seenNs: stats.ctimeNs, discard: false };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** What may stand there by now is not followed (a link) and not waited for (a named pipe). On Windows both are undefined, as good as 0. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function checkUnchanged(handle: Handle): void {
  const { file, descriptor } = handle;
  const stats = fstatSync(descriptor, { bigint: true });
  checkContent(stats, file);
  // Renaming and deleting, among others, change this time: then, and only then, it takes another look at the path.
  if (stats.ctimeNs === handle.seenNs) return;
  const found = lstatSync(fsPath(pathOfChild(file)), { bigint: true, throwIfNoEntry: false });
  if (found === undefined) throw new Changed('was deleted');
  if (!isSameFile(found, file)) throw new Changed('was replaced');
  handle.seenNs = stats.ctimeNs;
}

function checkContent(stats: BigIntStats, { parent: { files }, place }: File): void {
  if (stats.size !== BigInt(files.sizes[place]!)) throw new Changed('has another size than it had');
  if (!files.isUnmodified(place, stats)) throw new Changed('was modified');
}

function isSameFile(stats: BigIntStats, { parent, place }: File): boolean {
  return stats.isFile() && parent.files.isSameFile(place, stats);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

async function readFully(descriptor: number, position: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length;) {
    const count = await readSome(descriptor, position + done, into.subarray(done));
    if (count === 0) throw new Changed('has another size than it had');
    done += count;
  }
}

function readSome(descriptor: number, position: number, into: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, into, 0, into.length, position, (error, count) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}
