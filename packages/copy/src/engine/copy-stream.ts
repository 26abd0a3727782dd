import { NbdError, type BlockDevice } from '@nbd/protocol';
import { attempt } from './attempt.js';
import { checkDestination } from './check.js';
import { poolFor } from './copy.js';
import { sizesOf, type Progress, type StreamOptions } from './options.js';
import { Pieces } from './pieces.js';
import { Writer } from './writer.js';

/** Bytes that come in order, until they end. */
export interface ByteSource {
  /**
   * Fills `into`, with less only at the end. One call at a time.
   * @returns how many bytes it has put at the start of `into`: 0 when there are no more.
   */
  read(into: Uint8Array, options: { readonly signal: AbortSignal }): Promise<number>;
}

/**
 * Copies a stream to a device, of which the part beyond the stream stays as it is. As {@link copy} otherwise; the
 * `done` of what it returns is the length of the stream.
 *
 * @throws NbdError ENOSPC if the stream goes on beyond the end of the device; as {@link copy}.
 */
export async function copyStream(
  source: ByteSource,
  destination: BlockDevice,
  options: StreamOptions = {},
): Promise<Progress> {
  checkDestination(destination, undefined, options);
  const sizes = sizesOf(options, [destination.info?.blockSize]);
  const { requestSize, requests } = sizes;
  const pieces = new Pieces(0n, undefined, requests, options);
  const writer = new Writer(destination, sizes, pieces, options);
  const name = options.names?.source ?? 'the source';
  const pool = poolFor(sizes);

  let at = 0n;
  try {
    for (let count = requestSize; count === requestSize && !pieces.hasFailed;) {
      if (pieces.isFull) await pieces.room();
      const buffer = pool.take(requestSize);
      const from = at;
      const { signal } = pieces;
      count = await attempt(`reading ${name}`, at, () =>
        source.read(buffer.subarray(0, requestSize), { signal }),
      );
      if (count === 0) break;
      at += BigInt(count);
      pieces.progress.read = at;
      if (at > destination.size) throw runsOver(options, destination.size);
      pieces.begin(at, async () => {
        await writer.put(from, buffer.subarray(0, count));
        pool.give(buffer);
      });
    }
  } catch (error) {
    pieces.fail(error);
  }
  await pieces.finish();
  pieces.progress.size = at;
  if (options.flush !== false) await writer.flush();
  return pieces.progress;
}

function runsOver({ names }: StreamOptions, size: bigint): NbdError {
  return new NbdError(
    'ENOSPC',
    `${names?.destination ?? 'the destination'} is too small: ${names?.source ?? 'the source'} goes on beyond its ` +
      `${size} bytes, at offset ${size}`,
    { offset: size },
  );
}
