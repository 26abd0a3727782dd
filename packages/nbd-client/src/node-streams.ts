import { Readable, Writable } from 'node:stream';
import type { BlockDevice } from '@nbd/protocol';
import { readAhead, type ReadStreamOptions } from './stream-reader.js';
import { StreamWriter, type WriteStreamOptions } from './stream-writer.js';

/**
 * A Node stream of the bytes of a disk, or of any other device. It reads ahead, and stops when nobody takes them.
 *
 * ```ts
 * await pipeline(createReadStream(disk), createWriteStream('disk.raw'));
 * ```
 */
export function createReadStream(
  device: Pick<BlockDevice, 'read' | 'size'>,
  options: ReadStreamOptions = {},
): Readable {
  const abort = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
  const chunks = readAhead(device, { ...options, signal });
  return new Readable({
    // The chunks that are ready wait in readAhead.
    highWaterMark: 1,
    read() {
      chunks.next().then(
        ({ value }) => this.push(value ?? null),
        (error: unknown) => this.destroy(error as Error),
      );
    },
    destroy(error, callback) {
      abort.abort();
      callback(error);
    },
  });
}

/**
 * A Node stream that writes to a disk, or to any other device, from its start or from an offset on. It flushes at its
 * end.
 *
 * ```ts
 * await pipeline(createReadStream('disk.raw'), createWriteStream(disk));
 * ```
 *
 * @throws NbdError EROFS if the device can't be written; EINVAL if the offset is not at a block.
 */
export function createWriteStream(device: BlockDevice, options: WriteStreamOptions = {}): Writable {
  const abort = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
  const writer = new StreamWriter(device, { ...options, signal });
  return new Writable({
    write(bytes: Uint8Array, _encoding, callback) {
      settle(() => writer.write(bytes), callback);
    },
    final(callback) {
      settle(() => writer.finish(), callback);
    },
    destroy(error, callback) {
      abort.abort(error ?? undefined);
      callback(error);
    },
  });
}

function settle(work: () => Promise<void> | undefined, callback: (error?: Error | null) => void): void {
  try {
    const waiting = work();
    if (waiting === undefined) callback();
    else
      waiting.then(() => {
        callback();
      }, callback);
  } catch (error) {
    callback(error as Error);
  }
}
