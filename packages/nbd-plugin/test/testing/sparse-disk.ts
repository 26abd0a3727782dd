import { NbdError } from '@nbd/protocol';
import type { BlockDevice, DeviceInfo, ExtentSink, ReadOptions, ZeroOptions } from '@nbd/protocol';

const BLOCK = 4096;

/** Blocks by their number: what several devices may share. */
export type Blocks = Map<bigint, Uint8Array>;

/** A sparse disk in memory that does all that a device can, to be broken on purpose by those that extend it. */
export class SparseDisk implements BlockDevice {
  readonly size: bigint;
  readonly info: DeviceInfo;
  readonly blocks: Blocks;

  constructor(
    size: bigint,
    info: DeviceInfo = { fua: true, fastZero: true, multiConn: true },
    blocks: Blocks = new Map(),
  ) {
    this.size = size;
    this.info = info;
    this.blocks = blocks;
  }

  read(offset: bigint, into: Uint8Array, options?: ReadOptions): void {
    for (const { block, within, at, length } of parts(offset, into.length)) {
      const bytes = this.blocks.get(block);
      if (bytes) into.set(bytes.subarray(within, within + length), at);
      else {
        into.fill(0, at, at + length);
        options?.holes?.add(offset + BigInt(at), BigInt(length));
      }
    }
  }

  write(offset: bigint, from: Uint8Array): void {
    for (const { block, within, at, length } of parts(offset, from.length)) {
      let bytes = this.blocks.get(block);
      if (!bytes) this.blocks.set(block, (bytes = new Uint8Array(BLOCK)));
      bytes.set(from.subarray(at, at + length), within);
    }
  }

  zero(offset: bigint, length: bigint, options?: ZeroOptions): void {
    if (options?.fastZero && length > 8192n) throw new NbdError('ENOTSUP', 'that would be slow');
    for (const part of parts(offset, Number(length))) {
      if (part.length === BLOCK) this.blocks.delete(part.block);
      else this.blocks.get(part.block)?.fill(0, part.within, part.within + part.length);
    }
  }

  /** As a trim may: whole blocks get lost, the rest stays. */
  trim(offset: bigint, length: bigint): void {
    for (const part of parts(offset, Number(length)))
      if (part.length === BLOCK) this.blocks.delete(part.block);
  }

  cache(_offset: bigint, _length: bigint): void {
    // Everything is in memory already.
  }

  flush(): void {
    // Memory is all the stable storage that there is.
  }

  extents(offset: bigint, length: bigint, sink: ExtentSink): void {
    const end = offset + length;
    while (offset < end) {
      const next = this.edgeAfter(offset);
      const hole = !this.blocks.has(offset / BigInt(BLOCK));
      if (!sink.add(next - offset, hole ? 3 : 0)) return;
      offset = next;
    }
  }

  /** Where the run of blocks or of holes that `offset` lies in ends. */
  protected edgeAfter(offset: bigint): bigint {
    const first = offset / BigInt(BLOCK);
    const hole = !this.blocks.has(first);
    let edge = (this.size + BigInt(BLOCK) - 1n) / BigInt(BLOCK);
    if (hole) for (const block of this.blocks.keys()) edge = block > first && block < edge ? block : edge;
    else for (let block = first + 1n; block < edge; block++) if (!this.blocks.has(block)) edge = block;
    return edge * BigInt(BLOCK) > this.size ? this.size : edge * BigInt(BLOCK);
  }

  close(): void {
    // Nothing to let go of: the blocks may be another's as well.
  }
}

interface Part {
  readonly block: bigint;
  /** Where in the block. */
  readonly within: number;
  /** Where in the request. */
  readonly at: number;
  readonly length: number;
}

function parts(offset: bigint, length: number): Part[] {
  const result: Part[] = [];
  for (let at = 0; at < length;) {
    const position = offset + BigInt(at);
    const within = Number(position % BigInt(BLOCK));
    const part = Math.min(BLOCK - within, length - at);
    result.push({ block: position / BigInt(BLOCK), within, at, length: part });
    at += part;
  }
  return result;
}
