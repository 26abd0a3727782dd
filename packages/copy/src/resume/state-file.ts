import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NbdError } from '@nbd/protocol';

/** One side of a copy, as far as it can be told from others. */
export interface Side {
  /** The same for the same disk: a URI, what tells a file from others and from what it was. */
  readonly identity: string;
  /** Bytes. */
  readonly size: bigint;
}

/** How far a copy came. */
export interface State {
  readonly source: Side;
  readonly destination: Side;
  /** Bytes from the start that are on stable storage at the destination; a multiple of 65 536. */
  readonly done: bigint;
}

const VERSION = 1;

/**
 * The state that the file has, undefined if there is no such file.
 * @throws NbdError EINVAL if it is something else
 */
export async function readState(path: string): Promise<State | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError('read', path, error);
  }
  try {
    const { version, source, destination, done } = JSON.parse(text) as Record<string, unknown>;
    if (version !== VERSION || typeof done !== 'string') throw new Error('no state');
    return { source: sideOf(source), destination: sideOf(destination), done: BigInt(done) };
  } catch (error) {
    throw new NbdError('EINVAL', `${path} is no state of this nbd-copy. Name another file, or remove it`, {
      cause: error,
    });
  }
}

/** Puts the state in the file, at once: after a crash there is this one or the one before. */
export async function writeState(path: string, { source, destination, done }: State): Promise<void> {
  const text = JSON.stringify(
    { version: VERSION, source: forJson(source), destination: forJson(destination), done: String(done) },
    undefined,
    2,
  );
  const next = `${path}.new`;
  try {
    const file = await open(next, 'w');
    try {
      await file.writeFile(`${text}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(next, { force: true }).catch(() => undefined);
    throw fileError('written', path, error);
  }
}

/** The copy is complete: there is nothing to go on with. */
export async function removeState(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (error) {
    throw fileError('removed', path, error);
  }
}

/** That a rename lasts. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function sideOf(value: unknown): Side {
  const { identity, size } = value as Record<string, unknown>;
  if (typeof identity !== 'string' || typeof size !== 'string') throw new Error('no side of a copy');
  return { identity, size: BigInt(size) };
}

/** JSON has no bigints. */
function forJson({ identity, size }: Side) {
  return { identity, size: String(size) };
}

function fileError(done: string, path: string, error: unknown): NbdError {
  return new NbdError('EIO', `the state file ${path} can't be ${done}: ${(error as Error).message}`, {
    cause: error,
  });
}
