import { NbdError, type BlockDevice } from '@nbd/protocol';

/** Which part of a device a stream reads, and how far ahead. */
export interface ReadStreamOptions {
  /** Bytes from the start of the device; 0 if not given. */
  readonly offset?: bigint;
  /** Bytes; up to the end of the device if not given. */
  readonly length?: bigint;
  /** Bytes of each chunk of the stream; 512 KiB if not given. */
  readonly chunkSize?: number;
  /** Bytes that are asked for before they are wanted, 16 MiB if not given: latency times bandwidth, or more. */
  readonly readahead?: number;
  readonly signal?: AbortSignal;
}

const CHUNK_SIZE = 512 << 10;
const READAHEAD = 16 << 20;

/**
 * The bytes of a device in order, asked for ahead of the one who takes them.
 * @throws NbdError EINVAL for a range outside the device.
 */
export async function* readAhead(
  device: Pick<BlockDevice, 'read' | 'size'>,
  options: ReadStreamOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const {
    offset = 0n,
    length = device.size - offset,
    chunkSize = CHUNK_SIZE,
    readahead = READAHEAD,
  } = options;
  if (offset < 0n || length < 0n || offset + length > device.size) {
    throw new NbdError(
      'EINVAL',
      `a stream of ${length} bytes from offset ${offset} is not within the disk's ${device.size} bytes`,
    );
  }
  const { signal } = options;
  const depth = Math.max(1, Math.floor(readahead / chunkSize));
  const ahead: Promise<Uint8Array<ArrayBuffer>>[] = [];
  const end = offset + length;
  let next = offset;
  while (next < end || ahead.length > 0) {
    while (next < end && ahead.length < depth) {
      const rest = end - next;
      const chunk = readChunk(device, next, rest < chunkSize ? Number(rest) : chunkSize, signal);
      chunk.catch(() => undefined);
      ahead.push(chunk);
      next += BigInt(chunkSize);
    }
    yield await ahead.shift()!;
  }
}

async function readChunk(
  device: Pick<BlockDevice, 'read'>,
  offset: bigint,
  length: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const buffer = new Uint8Array(length);
  await device.read(offset, buffer, signal && { signal });
  return buffer;
}
