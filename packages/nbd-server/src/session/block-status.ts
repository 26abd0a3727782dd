import {
  BASE_ALLOCATION,
  BLOCK_STATUS_HEADER_SIZE,
  encodeBlockStatusHeader,
  encodeExtendedBlockStatusHeader,
  encodeExtendedExtent,
  encodeExtent,
  EXTENDED_BLOCK_STATUS_HEADER_SIZE,
  EXTENDED_EXTENT_SIZE,
  EXTENT_SIZE,
  isPromise,
  type Awaitable,
  type BlockDevice,
  type ExtentSink,
} from '@nbd/protocol';
import { MAX_EXTENTS } from './limits.js';
import type { SelectedContext } from './meta-contexts.js';

/** Longest extent of a compact reply: what 32 bits hold, less what keeps it aligned to any block. */
const LONGEST_COMPACT = 0xffff_0000n;

/** Bytes that the answer for one context may take, where `length` bytes are asked about. */
export function longestStatus(length: bigint, extended: boolean): number {
  const extents = length < BigInt(MAX_EXTENTS) ? Number(length) : MAX_EXTENTS;
  return extended
    ? EXTENDED_BLOCK_STATUS_HEADER_SIZE + extents * EXTENDED_EXTENT_SIZE
    : BLOCK_STATUS_HEADER_SIZE + extents * EXTENT_SIZE;
}

/** What a block status request asks. */
export interface StatusQuery {
  readonly offset: bigint;
  /** Bytes, at least 1. */
  readonly length: bigint;
  /** One extent only, no longer than `length` (REQ_ONE). */
  readonly one: boolean;
  readonly extended: boolean;
  /** Bytes that every extent is a multiple of: the minimum block size, where the client knows of it. */
  readonly granularity: number;
}

/**
 * Asks a device for the extents of one context, as the payload of a block status chunk. Protocol document,
 * "Structured reply types".
 * @throws Error (or rejects with it) if the device's extents make no sense, and whatever the device throws
 */
export function queryStatus(
  device: BlockDevice,
  query: StatusQuery,
  context: SelectedContext,
  signal: AbortSignal,
): Awaitable<Uint8Array> {
  const collector = new ExtentCollector(query, device.size);
  if (device.extents) {
    const told = device.extents(query.offset, query.length, collector, { context: context.name, signal });
    if (isPromise(told)) return told.then(() => collector.encode(context.id));
  } else if (context.name === BASE_ALLOCATION) {
    collector.add(query.length, 0);
  }
  return collector.encode(context.id);
}

/** Bytes: room for 64 extents. It doubles when they are more, and then ends close to what the most of them need. */
const FIRST_PAYLOAD = EXTENDED_BLOCK_STATUS_HEADER_SIZE + 64 * EXTENDED_EXTENT_SIZE;

/** Collects extents into the payload of a chunk, merged and cut to what it may hold. */
class ExtentCollector implements ExtentSink {
  readonly #query: StatusQuery;
  readonly #longest: bigint;
  readonly #granularity: bigint;
  readonly #most: number;
  /** Written as they come: as objects, 65 536 extents would take many times more memory than on the wire. */
  #payload = new Uint8Array(FIRST_PAYLOAD);
  #end: number;
  #count = 0;
  /** The last extent, not written yet: the next may continue it. 0 bytes before the first. */
  #lastLength = 0n;
  #lastFlags = 0;
  /** Bytes from the start of the query to the end of the disk: no extent goes further. */
  #left: bigint;
  #covered = 0n;
  /** Nothing is wanted any more, whatever the device goes on to say. */
  #isEnough = false;
  #fault: string | undefined;

  constructor(query: StatusQuery, size: bigint) {
    this.#query = query;
    this.#longest = query.extended ? size : LONGEST_COMPACT;
    this.#granularity = BigInt(query.granularity);
    this.#most = query.one ? 1 : MAX_EXTENTS;
    this.#left = size - query.offset;
    this.#end = query.extended ? EXTENDED_BLOCK_STATUS_HEADER_SIZE : BLOCK_STATUS_HEADER_SIZE;
  }

  add(length: bigint, flags: number): boolean {
    if (this.#isEnough) return false;
    if (length <= 0n || length % this.#granularity !== 0n || !isUint32(flags)) {
      this.#fault = `an extent of ${length} bytes with flags ${flags}`;
      this.#isEnough = true;
      return false;
    }
    const within = length < this.#left ? length : this.#left;
    if (this.#lastLength > 0n && this.#lastFlags === flags) {
      this.#lastLength += within;
    } else {
      if (this.#lastLength > 0n) this.#write(this.#lastLength);
      if (this.#count === this.#most) {
        this.#lastLength = 0n;
        this.#isEnough = true;
        return false;
      }
      this.#lastLength = within;
      this.#lastFlags = flags;
    }
    this.#left -= within;
    this.#covered += within;
    // One that is too long is cut, and is the last then.
    this.#isEnough = this.#covered >= this.#query.length || this.#lastLength > this.#longest;
    return !this.#isEnough;
  }

  encode(contextId: number): Uint8Array {
    const { one, length, extended } = this.#query;
    const longest = one && length < this.#longest ? length : this.#longest;
    if (this.#lastLength > 0n) this.#write(this.#lastLength < longest ? this.#lastLength : longest);
    const fault = this.#fault ?? (this.#count === 0 ? 'no extent' : undefined);
    // No NbdError: it is nothing that a client can do about.
    if (fault !== undefined) throw new Error(`the plugin reported ${fault}`);
    if (extended) encodeExtendedBlockStatusHeader(this.#payload, 0, contextId, this.#count);
    else encodeBlockStatusHeader(this.#payload, 0, contextId);
    return this.#payload.subarray(0, this.#end);
  }

  #write(length: bigint): void {
    const { extended } = this.#query;
    const end = this.#end + (extended ? EXTENDED_EXTENT_SIZE : EXTENT_SIZE);
    if (end > this.#payload.length) {
      const larger = new Uint8Array(2 * this.#payload.length);
      larger.set(this.#payload);
      this.#payload = larger;
    }
    if (extended) encodeExtendedExtent(this.#payload, this.#end, length, BigInt(this.#lastFlags));
    else encodeExtent(this.#payload, this.#end, length, this.#lastFlags);
    this.#end = end;
    this.#count++;
  }
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
