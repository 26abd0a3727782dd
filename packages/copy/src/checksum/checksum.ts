import { createHash, type Hash } from 'node:crypto';
import type { BlockDevice } from '@nbd/protocol';
import {
  cut,
  readStretch,
  requestSizeOf,
  scan,
  segmentsBefore,
  scanPool,
  type ScanOptions,
} from '../engine/scan.js';
import type { Segment } from '../engine/segments.js';
import { BLOCK_SIZE, HASH_SIZE, hashBlock, TreeHash } from './tree-hash.js';

/** `tree` skips zeroes; `sha256` is that of all bytes in order, as other programs have it. */
export type ChecksumAlgorithm = 'tree' | 'sha256';

export interface ChecksumOptions extends ScanOptions {
  /** `tree` unless told otherwise. */
  readonly algorithm?: ChecksumAlgorithm;
  /** Bytes from the start of the device, instead of all of it: what is beyond does not count. */
  readonly size?: bigint;
  /** How messages call the device; `the source`. */
  readonly name?: string;
}

const SOURCE = 'the source';

const ZEROES = new Uint8Array(BLOCK_SIZE);

/**
 * The checksum of a device's content: `nbd-tree-sha256:` or `sha256:` and 64 hexadecimal digits. It depends on size
 * and bytes alone: not on what the extents say, nor on how it is read.
 *
 * ```ts
 * await checksum(await connect('nbd://localhost')); // 'nbd-tree-sha256:8d0f…'
 * ```
 *
 * @throws NbdError ECANCELED if the signal aborts, else what the device throws, with the offset in the message
 */
export async function checksum(device: BlockDevice, options: ChecksumOptions = {}): Promise<string> {
  const size = options.size ?? device.size;
  if (size > device.size) throw new RangeError(`${size} bytes of a device that has ${device.size}`);
  return options.algorithm === 'sha256'
    ? `sha256:${await plainChecksum(device, size, options)}`
    : `nbd-tree-sha256:${await treeChecksum(device, size, options)}`;
}

async function treeChecksum(device: BlockDevice, size: bigint, options: ChecksumOptions): Promise<string> {
  const name = options.name ?? SOURCE;
  const requestSize = requestSizeOf(options);
  const pool = scanPool(options);
  const tree = new TreeHash();
  await scan(
    {
      size,
      // Zeroes within a block are no matter: it is read whole.
      pieces: (signal) =>
        cut(
          segmentsBefore(device, name, { end: size, granularity: BLOCK_SIZE }, options, signal),
          requestSize,
          isData,
        ),
      look: async (piece, signal) => {
        if (piece.zero) return blocksOf(piece);
        const buffer = pool.take(requestSize);
        const hashes = hashBlocks(await readStretch(device, name, piece, buffer, signal));
        pool.give(buffer);
        return hashes;
      },
      take: (seen) => {
        if (typeof seen === 'bigint') tree.addZeroes(seen);
        else tree.addHashes(seen);
      },
    },
    options,
  );
  return tree.root(size).toString('hex');
}

async function plainChecksum(device: BlockDevice, size: bigint, options: ChecksumOptions): Promise<string> {
  const name = options.name ?? SOURCE;
  const requestSize = requestSizeOf(options);
  const pool = scanPool(options);
  const hash = createHash('sha256');
  await scan(
    {
      size,
      pieces: (signal) =>
        cut(segmentsBefore(device, name, { end: size }, options, signal), requestSize, () => true),
      look: async (piece, signal) => {
        if (piece.zero) return { length: Number(piece.end - piece.start), buffer: undefined };
        const buffer = pool.take(requestSize);
        const { length } = await readStretch(device, name, piece, buffer, signal);
        return { length, buffer };
      },
      take: ({ length, buffer }) => {
        if (!buffer) {
          addZeroes(hash, length);
          return;
        }
        hash.update(buffer.subarray(0, length));
        pool.give(buffer);
      },
    },
    options,
  );
  return hash.digest('hex');
}

function isData({ zero }: Segment): boolean {
  return !zero;
}

function blocksOf({ start, end }: Segment): bigint {
  return (end - start + BigInt(BLOCK_SIZE - 1)) / BigInt(BLOCK_SIZE);
}

function hashBlocks(bytes: Uint8Array): Uint8Array {
  const hashes = new Uint8Array(Math.ceil(bytes.length / BLOCK_SIZE) * HASH_SIZE);
  for (let at = 0, block = 0; at < bytes.length; at += BLOCK_SIZE, block++) {
    hashes.set(hashBlock(bytes.subarray(at, at + BLOCK_SIZE)), block * HASH_SIZE);
  }
  return hashes;
}

function addZeroes(hash: Hash, length: number): void {
  for (let rest = length; rest > 0; rest -= ZEROES.length) hash.update(ZEROES.subarray(0, rest));
}
