import type { Log } from '@nbd/plugin';
import { ExtentFlag, NbdError } from '@nbd/protocol';
import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { blockAt, blockFrom, BLOCK_SIZE, offsetOf } from './blocks.js';
import { firstOtherThan } from './compare.js';
import type { Content } from './content.js';
import type { DiskMap } from './map.js';

export interface Disk {
  /** Bytes. */
  readonly size: bigint;
  readonly map: DiskMap;
  readonly content: Content;
  /** Told of each write that is refused. */
  readonly log: Log;
}

/** Blocks that are enough for one query of the extents, 4 GiB of disk: about 1 ms of work. */
const BLOCKS_PER_QUERY = 2 ** 20;

const DATA = 0;
const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;

/** Reads compute the disk, and what is written is compared with it. Nothing is stored. */
export function openDisk({ size, map, content, log }: Disk): BlockDevice {
  const refuse = (offset: bigint, message: string): never => {
    log.warn(message);
    throw new NbdError('EIO', message, { offset });
  };

  /** What becomes zeroes must be a hole already. Otherwise `found` is told where data is, and throws. */
  const checkHole = (
    offset: bigint,
    length: bigint,
    signal: AbortSignal | undefined,
    found: (at: bigint) => never,
  ) => {
    const visit = (data: boolean, block: number) => !data || found(larger(offset, offsetOf(block)));
    return map.visit(blockAt(offset), blockFrom(offset + length), visit, signal);
  };

  return {
    size,
    info: {
      multiConn: true,
      fua: true,
      fastZero: true,
      blockSize: { minimum: 1, preferred: BLOCK_SIZE, maximum: 2 ** 32 - 1 },
    },

    read(offset, into, options) {
      const fill = ({ data, bytes, start, block, skip }: Piece) => {
        if (data) {
          content.fill(block, skip, bytes);
        } else {
          bytes.fill(0);
          options?.holes?.add(offset + BigInt(start), BigInt(bytes.length));
        }
      };
      return visitPieces(map, offset, into, fill, options?.signal);
    },

    write(offset, from, options) {
      const check = ({ data, bytes, start, block, skip }: Piece) => {
        const wrong = data ? content.firstDifference(block, skip, bytes) : firstOtherThan(0, bytes);
        if (wrong === -1) return;
        const expected = data ? content.byteAt(block, skip + wrong) : 0;
        const at = offset + BigInt(start + wrong);
        refuse(
          at,
          `write of ${from.length} bytes at offset ${offset}: the byte at offset ${at} should be ` +
            `${hex(expected)}, but is ${hex(bytes[wrong]!)}`,
        );
      };
      return visitPieces(map, offset, from, check, options?.signal);
    },

    zero(offset, length, options) {
      const what = `zero of ${length} bytes at offset ${offset}: there is data at offset `;
      return checkHole(offset, length, options?.signal, (at) => {
        // A program that tries whether it can clear the disk fast does nothing wrong.
        if (options?.fastZero) throw new NbdError('ENOTSUP', what + String(at), { offset: at });
        return refuse(at, what + String(at));
      });
    },

    trim(offset, length, options) {
      return checkHole(offset, length, options?.signal, (at) =>
        refuse(at, `trim of ${length} bytes at offset ${offset}: there is data at offset ${at}`),
      );
    },

    flush: () => undefined,

    extents(offset, length, sink, options) {
      const first = blockAt(offset);
      const visit = (data: boolean, block: number, endBlock: number) => {
        const start = larger(offset, offsetOf(block));
        const end = smaller(offset + length, offsetOf(endBlock));
        return sink.add(end - start, data ? DATA : HOLE) && endBlock - first < BLOCKS_PER_QUERY;
      };
      return map.visit(first, blockFrom(offset + length), visit, options?.signal);
    },
  };
}

/** A part of a request's buffer that is all data or all hole. */
interface Piece {
  readonly data: boolean;
  readonly bytes: Buffer;
  /** Where in the request's buffer it starts. */
  readonly start: number;
  /** The block where it starts on the disk, and the byte within that block. */
  readonly block: number;
  readonly skip: number;
}

function visitPieces(
  map: DiskMap,
  offset: bigint,
  { buffer, byteOffset, length }: Uint8Array,
  each: (piece: Piece) => void,
  signal: AbortSignal | undefined,
): Awaitable<void> {
  const all = Buffer.from(buffer, byteOffset, length);
  const first = blockAt(offset);
  const skip = Number(offset - offsetOf(first));
  const visit = (data: boolean, block: number, end: number) => {
    const start = Math.max(0, (block - first) * BLOCK_SIZE - skip);
    const bytes = all.subarray(start, (end - first) * BLOCK_SIZE - skip);
    each({ data, bytes, start, block, skip: block === first ? skip : 0 });
    return true;
  };
  return map.visit(first, blockFrom(offset + BigInt(length)), visit, signal);
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
