import { readFile } from 'node:fs/promises';
import { NbdError } from '@nbd/protocol';

/**
 * The pre-shared keys in a file as GnuTLS's `psktool` makes it and all NBD tools read it: a line `user:hexkey` for
 * each user.
 *
 * ```ts
 * const keys = await readPskFile('keys.psk');
 * keys.get('alice'); // Uint8Array(32)
 * ```
 *
 * @returns keys by user name, in the order of the file.
 * @throws NbdError ENOENT or EACCES if the file can't be read; EINVAL for a line that is not as it should be, or if
 *   there is none. Messages never show a key.
 */
export async function readPskFile(path: string): Promise<Map<string, Uint8Array>> {
  const text = await readTlsFile(path);
  const keys = new Map<string, Uint8Array>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const [, user, key] = LINE.exec(line) ?? [];
    if (user === undefined || key === undefined || key.length % 2 !== 0) {
      throw new NbdError('EINVAL', `${path}: line ${index + 1} is not user:hexkey; psktool makes such files`);
    }
    keys.set(userName(user), Uint8Array.from(Buffer.from(key, 'hex')));
  }
  if (keys.size === 0) {
    throw new NbdError('EINVAL', `${path} holds no key; make one with: psktool -u USER -p ${path}`);
  }
  return keys;
}

/** The content of a file that TLS needs. @throws NbdError with the reason if it can't be read. */
export async function readTlsFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new NbdError(
      code === 'ENOENT' || code === 'EACCES' ? code : 'EIO',
      `${path} can't be read: ${message}`,
      { cause: error },
    );
  }
}

const LINE = /^([^:]+):([0-9a-fA-F]+)\s*$/;

/** GnuTLS writes a name with unusual characters as # and its bytes in hexadecimal. */
function userName(written: string): string {
  return /^#(?:[0-9a-fA-F]{2})+$/.test(written) ? Buffer.from(written.slice(1), 'hex').toString() : written;
}
