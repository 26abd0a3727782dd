import { closeSync, constants, fstatSync, openSync, statSync, type BigIntStats } from 'node:fs';
import { NbdError } from '@nbd/protocol';
import { hasCode, toNbdError } from './errors.js';
import { isInMemory, type System } from './system/index.js';

export interface OpenOptions {
  /** What messages call the file. */
  readonly name: string;
  /** Does not open it for writing. */
  readonly readOnly: boolean;
  /** Refuses a path whose last part is a symbolic link. */
  readonly noLink?: boolean;
  readonly system: System | undefined;
}

/** An open file or block device. */
export interface OpenFile {
  readonly fd: number;
  readonly name: string;
  /** The same for all names of one file. */
  readonly identity: string;
  /** Bytes, when it was opened. */
  readonly size: bigint;
  readonly readOnly: boolean;
  readonly isBlockDevice: boolean;
  /** On tmpfs: nothing waits for a disk. */
  readonly inMemory: boolean;
}

/**
 * Opens a file or a block device, for writing if it is not read-only.
 * @throws NbdError with the code that the file system gives; `EISDIR` and `EINVAL` for what can't be a disk.
 */
export function openFile(path: string, options: OpenOptions): OpenFile {
  let fd;
  try {
    // Before it is opened, which has effects of its own on other devices: a tape winds.
    const status = statSync(path, { bigint: true });
    checkKind(status, options.name);
    fd = isReadOnly(status, options) ? undefined : openForWriting(path, options);
    const readOnly = fd === undefined;
    fd ??= openSync(path, constants.O_RDONLY | flags(options));
    return describe(fd, path, readOnly, options);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw toNbdError(error, options.name);
  }
}

/**
 * Locks a file until it is closed: for us alone if it is to be written, else together with others who read it. Closes
 * it if that fails.
 * @param without how to do without a lock, for messages
 * @throws NbdError EBUSY if others have it; what the file system says if it has no locks.
 */
export function lockFile({ fd, name, readOnly }: OpenFile, system: System, without = 'pass lock=off'): void {
  try {
    if (system.lock(fd, readOnly ? 'shared' : 'exclusive')) return;
    throw new NbdError('EBUSY', `${name} is in use by another program. Stop it, or ${without}`);
  } catch (error) {
    closeSync(fd);
    throw toNbdError(error, `${name} can't be locked (to do without, ${without})`);
  }
}

/** Without write permission for anybody a file is read-only, for root too. */
function isReadOnly(status: BigIntStats, options: OpenOptions): boolean {
  return options.readOnly || (status.mode & 0o222n) === 0n;
}

function openForWriting(path: string, options: OpenOptions): number | undefined {
  try {
    return openSync(path, constants.O_RDWR | flags(options));
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM', 'EROFS', 'ETXTBSY')) return undefined;
    throw error;
  }
}

/** O_NONBLOCK: what became a pipe since `stat` is not waited for. Windows has none of them. */
function flags({ noLink }: OpenOptions): number {
  const { O_NONBLOCK = 0, O_NOCTTY = 0, O_NOFOLLOW = 0 } = constants as Partial<typeof constants>;
  return O_NONBLOCK | O_NOCTTY | (noLink === true ? O_NOFOLLOW : 0);
}

function describe(fd: number, path: string, readOnly: boolean, { name, system }: OpenOptions): OpenFile {
  const status = fstatSync(fd, { bigint: true });
  checkKind(status, name);
  const isBlockDevice = status.isBlockDevice();
  const size = isBlockDevice ? sizeOfBlockDevice(fd, system) : status.size;
  return {
    fd,
    name,
    identity: isBlockDevice ? `block ${status.rdev}` : `file ${status.dev} ${status.ino}`,
    size,
    // Node can't write past 2^53-1.
    readOnly: readOnly || (system === undefined && size > Number.MAX_SAFE_INTEGER),
    isBlockDevice,
    inMemory: !isBlockDevice && isInMemory(path),
  };
}

function checkKind(status: BigIntStats, name: string): void {
  if (status.isDirectory()) {
    throw new NbdError('EISDIR', `${name} is a directory. Pass dir=${name} to serve the files in it`);
  }
  if (status.isFile() || status.isBlockDevice()) return;
  throw new NbdError('EINVAL', `${name} is neither a file nor a block device`);
}

function sizeOfBlockDevice(fd: number, system: System | undefined): bigint {
  if (system !== undefined) return system.seekEnd(fd);
  throw new NbdError(
    'ENOTSUP',
    'the size of a block device takes a system call that is missing: install koffi',
  );
}
