import { closeSync } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ExportInfo } from '@nbd/plugin';
import { NbdError, type BlockDevice } from '@nbd/protocol';
import { hasCode, toNbdError } from './errors.js';
import { FileDisk } from './file-disk.js';
import { lockFile, openFile } from './open-file.js';
import type { Source, SourceOptions } from './source.js';

/**
 * The files of a directory, each as an export of its name. No name leads out: it is never a path, and a symbolic link
 * counts only if it leads to a file that is itself in the directory.
 * @throws NbdError if it is not a directory
 */
export async function directory(path: string, options: SourceOptions): Promise<Source> {
  const root = await realDirectory(path);
  const disks = new OpenDisks(options);
  return {
    exports: () => listFiles(root),
    open: async (name) => disks.open(await findFile(root, name), name),
    // Its files are found anew by each process, and may be other ones by then.
    twin: () => undefined,
    close: () => undefined,
  };
}

async function realDirectory(path: string): Promise<string> {
  try {
    const root = await realpath(path);
    if ((await stat(root)).isDirectory()) return root;
  } catch (error) {
    throw toNbdError(error, path);
  }
  throw new NbdError('ENOTDIR', `${path} is not a directory. Pass file=${path} to serve it`);
}

async function listFiles(root: string): Promise<ExportInfo[]> {
  const names = await readdir(root);
  const files = await Promise.all(names.sort().map((name) => realFile(root, name)));
  return names.filter((_name, index) => files[index] !== undefined).map((name) => ({ name }));
}

async function findFile(root: string, name: string): Promise<string> {
  const file = await realFile(root, name);
  if (file === undefined) throw new NbdError('ENOENT', `there is no export "${name}"`);
  return file;
}

/** The path of a file without symbolic links in it, unless that is not a file in `root` that could be a disk. */
async function realFile(root: string, name: string): Promise<string | undefined> {
  if (name === '' || NOT_IN_NAMES.test(name)) return undefined;
  try {
    const real = await realpath(join(root, name));
    if (dirname(real) !== root) return undefined;
    const status = await stat(real);
    return status.isFile() || status.isBlockDevice() ? real : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EACCES')) return undefined;
    throw toNbdError(error, name);
  }
}

/** What makes a name a path; on Windows also `C:x`. */
const NOT_IN_NAMES = process.platform === 'win32' ? /[/\\:\0]/ : /[/\0]/;

/** The disks that have users. Connections to one file share its disk, by whatever names they asked for it. */
class OpenDisks {
  private readonly options: SourceOptions;
  private readonly disks = new Map<
    string,
    { readonly disk: FileDisk; users: number; closing?: Promise<void> }
  >();

  constructor(options: SourceOptions) {
    this.options = options;
  }

  async open(path: string, name: string): Promise<BlockDevice> {
    const { readOnly, lock, system } = this.options;
    const file = openFile(path, { name, readOnly, system, noLink: true });
    let shared = this.disks.get(file.identity);
    if (shared !== undefined) closeSync(file.fd);
    if (shared?.closing !== undefined) {
      await shared.closing;
      return this.open(path, name);
    }
    if (shared === undefined) {
      if (lock && system) lockFile(file, system);
      shared = { disk: new FileDisk(file, system), users: 0 };
      this.disks.set(file.identity, shared);
    }
    const { disk } = shared;
    shared.users++;
    return disk.device(() => this.release(file.identity));
  }

  private async release(identity: string): Promise<void> {
    const shared = this.disks.get(identity)!;
    if (--shared.users > 0) return;
    shared.closing = shared.disk.close().finally(() => this.disks.delete(identity));
    await shared.closing;
  }
}
