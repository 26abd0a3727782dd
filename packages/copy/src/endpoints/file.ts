import { closeSync, ftruncate } from 'node:fs';
import { access, lstat, open, realpath, rename, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { FileDisk, lockFile, openFile, type OpenFile } from '@nbd/plugin-file/file';
import { loadSystem, type System } from '@nbd/plugin-file/system';
import { MAX_DEVICE_SIZE, NbdError } from '@nbd/protocol';
import type { Destination, DestinationOptions, Source } from './endpoint.js';

/** While a file is written it has this after its name, so that nobody takes it for a whole one. */
const UNFINISHED = '.partial';

/** A file or block device that is read. It is locked: nobody who heeds locks writes to it meanwhile. */
export function openFileSource(path: string): Source {
  const { system } = loadSystem();
  const file = locked(openFile(path, { name: path, readOnly: true, system }), system);
  const disk = new FileDisk(file, system);
  const close = () => disk.close();
  const device = disk.device(() => undefined);
  return { name: path, identity: file.identity, device, close, abandon: close };
}

/** A block device that is written. What it has beyond the source's size stays. */
export function openBlockDevice(path: string, options: DestinationOptions): Destination {
  const { system } = loadSystem();
  const file = openToWrite(path, path, system, options);
  const disk = new FileDisk(file, system);
  const close = () => disk.close();
  return {
    name: path,
    device: disk.device(() => undefined),
    isZero: false,
    isStream: false,
    unfinished: path,
    finish: close,
    close,
    abandon: close,
  };
}

/**
 * A file that is written, and has exactly the source's size in the end. A new one is made; one that is there is emptied,
 * and stays the same file, with its owner and mode. Until the copy is complete its name is `NAME.partial`.
 */
export async function openFileDestination(path: string, options: DestinationOptions): Promise<Destination> {
  const { system } = loadSystem();
  const name = await ownName(path);
  const partial = name + UNFINISHED;
  const [exists, isBegun] = [await isThere(name), await isThere(partial)];
  const isNew = !exists && !isBegun;
  if (isNew) {
    if (options.resume) throw new NbdError('ENOENT', `${partial} is not there: nothing to go on with`);
    await (await open(partial, 'wx')).close();
  }
  const isPartial = isNew || !exists || (options.resume !== undefined && isBegun);
  await options.resume?.(isPartial ? partial : name);
  const unfinished = new Unfinished(openToWrite(isPartial ? partial : name, path, system, options), system, {
    name,
    partial: isPartial ? partial : undefined,
  });
  try {
    if (!isPartial) {
      // Left by an earlier copy, it makes room; that of a copy that is still running is locked.
      if (isBegun) closeSync(openToWrite(partial, partial, system, options).fd);
      await unfinished.hide(partial);
    }
    if (!options.resume) await unfinished.resize(0n);
    if (options.size !== undefined) await unfinished.resize(options.size);
    return unfinished.destination(path, options.size);
  } catch (error) {
    await unfinished.close();
    if (isNew) await rm(partial, { force: true });
    throw error;
  }
}

/** A file on its way from `NAME.partial` to `NAME`. */
class Unfinished {
  readonly #file: OpenFile;
  readonly #system: System | undefined;
  readonly #name: string;
  /** Undefined while it has its own name, where the directory allows no other. */
  #partial: string | undefined;
  #disk: FileDisk | undefined;

  constructor(
    file: OpenFile,
    system: System | undefined,
    { name, partial }: { name: string; partial: string | undefined },
  ) {
    this.#file = file;
    this.#system = system;
    this.#name = name;
    this.#partial = partial;
  }

  destination(path: string, size: bigint | undefined): Destination {
    const disk = new FileDisk({ ...this.#file, size: size ?? MAX_DEVICE_SIZE }, this.#system);
    const device = disk.device(() => undefined);
    this.#disk = disk;
    const close = () => this.close();
    return {
      name: path,
      device,
      isZero: true,
      isStream: false,
      unfinished: this.#partial ?? path,
      setSize: (length) => this.resize(length),
      finish: async (length, { flush }) => {
        if (size === undefined) {
          await this.resize(length);
          if (flush) await device.flush?.();
        }
        await this.close();
        await this.#show();
      },
      close,
      abandon: close,
    };
  }

  /** Gives it the name of an unfinished file, where the directory allows it. */
  async hide(partial: string): Promise<void> {
    try {
      await rename(this.#name, partial);
      this.#partial = partial;
    } catch {
      // It can still be written where it is, if not as well told from a finished one.
    }
  }

  /** What is added is a hole. */
  async resize(size: bigint): Promise<void> {
    const { fd, name } = this.#file;
    try {
      if (this.#system) await this.#system.truncate(fd, size);
      else await promisify(ftruncate)(fd, Number(size));
    } catch (error) {
      throw new NbdError('EFBIG', `${name} can't have ${size} bytes: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  async close(): Promise<void> {
    this.#disk ??= new FileDisk(this.#file, this.#system);
    await this.#disk.close();
  }

  async #show(): Promise<void> {
    if (this.#partial === undefined) return;
    if (await isThere(this.#name)) {
      throw new NbdError(
        'EEXIST',
        `${this.#name} has come into being meanwhile, and is left alone; the copy is complete in ${this.#partial}`,
      );
    }
    await rename(this.#partial, this.#name);
  }
}

/** The path without symbolic links, which may lead to another directory. */
async function ownName(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const isLink = await lstat(path).then(
      (status) => status.isSymbolicLink(),
      () => false,
    );
    if (isLink)
      throw new NbdError('ENOENT', `${path} is a symbolic link that leads to no file`, { cause: error });
    return path;
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function openToWrite(
  path: string,
  name: string,
  system: System | undefined,
  { source }: DestinationOptions,
): OpenFile {
  const file = openFile(path, { name, readOnly: false, system });
  try {
    if (file.readOnly) throw new NbdError('EACCES', `${name} may not be written`);
    if (file.identity === source?.identity) {
      throw new NbdError('EINVAL', `${name} is the source, too: a disk can't be copied onto itself`);
    }
  } catch (error) {
    closeSync(file.fd);
    throw error;
  }
  return locked(file, system);
}

function locked(file: OpenFile, system: System | undefined): OpenFile {
  if (system) {
    lockFile(file, system, `name it plugin:file?lock=off&file=${encodeURIComponent(file.name)}`);
  }
  return file;
}
