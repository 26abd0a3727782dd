import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { definePlugin, path } from '@nbd/plugin';
import file from '@nbd/plugin-file';
import { NbdError, type BlockDevice } from '@nbd/protocol';

/** A file that holds a disk encrypted with AES-256-XTS: what Linux calls `aes-xts-plain64`, in sectors of 512 bytes. */
export default definePlugin({
  name: 'encrypted',
  description: 'A file that holds a disk encrypted with AES-256-XTS',
  parameters: {
    file: path({ required: true, positional: true, help: 'the encrypted disk' }),
    key: path({ required: true, help: 'a file of 64 random bytes' }),
  },
  examples: ['./encrypted.ts disk.enc key=disk.key'],

  async setup({ file: disk, key: keyFile }, host) {
    const key = await readFile(keyFile);
    if (key.length !== 64) throw new NbdError('EINVAL', `${keyFile} has ${key.length} bytes; a key has 64`);
    return { key, inner: await file.create({ file: disk }, host) };
  },

  open: async (request, { key, inner }) => encrypted(await inner.open(request), key),
  close: ({ inner }) => inner.close?.(),
});

const SECTOR = 512;

/** The device in clear. There are no extents and no trim: a hole of the file would not be zeroes in here. */
function encrypted(inner: BlockDevice, key: Uint8Array): BlockDevice {
  const { readOnly = false, multiConn = false, fua = false } = inner.info ?? {};
  return {
    size: inner.size - (inner.size % BigInt(SECTOR)),
    // The server reads, changes and writes back where a client writes parts of a sector.
    info: { readOnly, multiConn, fua, blockSize: { minimum: SECTOR, preferred: 4096, maximum: 32 << 20 } },

    async read(offset, into, options) {
      await inner.read(offset, into, options?.signal && { signal: options.signal });
      for (const { tweak, at } of sectors(offset, into.length)) {
        const decipher = createDecipheriv('aes-256-xts', key, tweak);
        into.set(decipher.update(into.subarray(at, at + SECTOR)), at);
      }
    },

    async write(offset, from, options) {
      // Into a copy: the buffer is the caller's.
      const secret = new Uint8Array(from.length);
      for (const { tweak, at } of sectors(offset, from.length)) {
        const cipher = createCipheriv('aes-256-xts', key, tweak);
        secret.set(cipher.update(from.subarray(at, at + SECTOR)), at);
      }
      await inner.write!(offset, secret, options);
    },

    flush: (options) => inner.flush?.(options),
    close: () => inner.close?.(),
  };
}

/** Places of the sectors in a buffer, each with its tweak: the number of the sector on the disk, little-endian. */
function* sectors(offset: bigint, length: number) {
  let sector = offset / BigInt(SECTOR);
  for (let at = 0; at < length; at += SECTOR) {
    const tweak = new Uint8Array(16);
    new DataView(tweak.buffer).setBigUint64(0, sector++, true);
    yield { tweak, at };
  }
}
