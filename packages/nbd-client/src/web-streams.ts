import type { BlockDevice } from '@nbd/protocol';
import { readAhead, type ReadStreamOptions } from './stream-reader.js';
import { StreamWriter, type WriteStreamOptions } from './stream-writer.js';

/** A web stream of the bytes of a device. It reads ahead, and stops when nobody takes them. */
export function readableOf(
  device: Pick<BlockDevice, 'read' | 'size'>,
  options: ReadStreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const abort = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
  const chunks = readAhead(device, { ...options, signal });
  return new ReadableStream(
    {
      async pull(controller) {
        const { value } = await chunks.next();
        if (value) controller.enqueue(value);
        else controller.close();
      },
      cancel() {
        abort.abort();
      },
    },
    // The chunks that are ready wait in readAhead.
    { highWaterMark: 0 },
  );
}

/** A web stream that writes to a device, and flushes it when it is closed. */
export function writableOf(device: BlockDevice, options: WriteStreamOptions): WritableStream<Uint8Array> {
  const abort = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
  const writer = new StreamWriter(device, { ...options, signal });
  return new WritableStream({
    write: (bytes) => writer.write(bytes),
    close: () => writer.finish(),
    abort: (reason) => {
      abort.abort(reason);
    },
  });
}
