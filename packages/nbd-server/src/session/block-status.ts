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
 * @throws Error if the device's extents make no sense, and whatever the device throws
 */
export async function queryStatus(
  device: BlockDevice,
  query: StatusQuery,
  context: SelectedContext,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const collector = new ExtentCollector(query, device.size);
  if (device.extents)
    await device.extents(query.offset, query.length, collector, { context: context.name, signal });
  else if (context.name === BASE_ALLOCATION) collector.add(query.length, 0);
  return collector.encode(context.id);
}

/** Collects, merges and cuts extents to what one chunk may hold. */
class ExtentCollector implements ExtentSink {
  readonly #query: StatusQuery;
  readonly #longest: bigint;
  readonly #granularity: bigint;
  readonly #lengths: bigint[] = [];
  readonly #flags: number[] = [];
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
    this.#left = size - query.offset;
  }

  add(length: bigint, flags: number): boolean {
    if (this.#isEnough) return false;
    if (length <= 0n || length % this.#granularity !== 0n || !isUint32(flags)) {
      this.#fault = `an extent of ${length} bytes with flags ${flags}`;
      this.#isEnough = true;
      return false;
    }
    const within = length < this.#left ? length : this.#left;
    this.#left -= within;
    const count = this.#lengths.length;
    if (count > 0 && this.#flags[count - 1] === flags) {
      this.#lengths[count - 1]! += within;
    } else if (count < (this.#query.one ? 1 : MAX_EXTENTS)) {
      this.#lengths.push(within);
      this.#flags.push(flags);
    } else {
      this.#isEnough = true;
      return false;
    }
    this.#covered += within;
    // One that is too long is cut, and is the last then.
    this.#isEnough = this.#covered >= this.#query.length || this.#lengths.at(-1)! > this.#longest;
    return !this.#isEnough;
  }

  encode(contextId: number): Uint8Array {
    const { one, length, extended } = this.#query;
    const fault = this.#fault ?? (this.#lengths.length === 0 ? 'no extent' : undefined);
    // No NbdError: it is nothing that a client can do about.
    if (fault !== undefined) throw new Error(`the plugin reported ${fault}`);
    const count = this.#lengths.length;
    const longest = one && length < this.#longest ? length : this.#longest;
    const header = extended ? EXTENDED_BLOCK_STATUS_HEADER_SIZE : BLOCK_STATUS_HEADER_SIZE;
    const step = extended ? EXTENDED_EXTENT_SIZE : EXTENT_SIZE;
    const payload = new Uint8Array(header + count * step);
    if (extended) encodeExtendedBlockStatusHeader(payload, 0, contextId, count);
    else encodeBlockStatusHeader(payload, 0, contextId);
    for (let i = 0, at = header; i < count; i++, at += step) {
      const extent = this.#lengths[i]! < longest ? this.#lengths[i]! : longest;
      const flags = this.#flags[i]!;
      if (extended) encodeExtendedExtent(payload, at, extent, BigInt(flags));
      else encodeExtent(payload, at, extent, flags);
    }
    return payload;
  }
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
