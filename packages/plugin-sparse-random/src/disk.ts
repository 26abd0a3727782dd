import type { Log } from '@nbd/plugin';
import { NbdError } from '@nbd/protocol';
import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { blockAt, blockFrom, BLOCK_SIZE, offsetOf } from './blocks.js';
import { firstOtherThan } from './compare.js';
import type { Content } from './content.js';
import { describeExtents } from './extents.js';
import type { DiskMap } from './map.js';

export interface Disk {
  /** Bytes. */
  readonly size: bigint;
  readonly map: DiskMap;
  readonly content: Content;
  /** Told of each write that is refused. */
  readonly log: Log;
}

/** Reads compute the disk, and what is written is compared with it. Nothing is stored. */
export function openDisk({ size, map, content, log }: Disk): BlockDevice {
  const refuse = (offset: bigint, message: string): never => {
    log.warn(message);
    throw new NbdError('EIO', message, { offset });
  };

  /** What becomes zeroes must be a hole already. */
  const checkHole = (command: string, offset: bigint, length: bigint, signal: AbortSignal | undefined) => {
    const visit = (data: boolean, block: number) => {
      if (!data) return true;
      const at = offsetOf(block) > offset ? offsetOf(block) : offset;
      return refuse(at, `${command} of ${length} bytes at offset ${offset}: there is data at offset ${at}`);
    };
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

    zero: (offset, length, options) => checkHole('zero', offset, length, options?.signal),
    trim: (offset, length, options) => checkHole('trim', offset, length, options?.signal),
    flush: () => undefined,
    extents: (offset, length, sink, options) => describeExtents(map, offset, length, sink, options?.signal),
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

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
