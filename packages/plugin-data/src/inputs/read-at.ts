import { read } from 'node:fs';

/**
 * Reads some bytes of an open file. Offsets over 2^53 are safe here: `FileHandle.read` of Node 20 takes no bigint.
 * @param position null to go on where the last read ended.
 * @returns how many bytes; 0 at the end.
 */
export function readAt(descriptor: number, into: Uint8Array, position: bigint | null): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, { buffer: into, position }, (error, count) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}
