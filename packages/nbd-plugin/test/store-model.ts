import type { ExtentSink } from '@nbd/protocol';
import type { Backing } from '../src/store/index.js';

const BLOCK = 4096n;

/** Whether a block reads as zeroes, and counts as used. */
type State = 'absent' | 'hole' | 'reserved' | 'data';

/** What a `SparseStore` is to hold, told in the plainest way: a map of blocks. */
export class StoreModel {
  readonly size: bigint;
  private readonly backing: PatternBacking | undefined;
  private readonly blocks = new Map<bigint, { state: State; bytes: Uint8Array }>();

  constructor(size: bigint, backing?: PatternBacking) {
    this.size = size;
    this.backing = backing;
  }

  write(offset: bigint, from: Uint8Array): void {
    for (const part of this.parts(offset, BigInt(from.length))) {
      const bytes = from.subarray(Number(part.from - offset), Number(part.to - offset));
      const block = this.edge(part);
      const zeroes = isAllZero(bytes);
      if (block.state === 'data' || !zeroes) block.state = 'data';
      else if (block.state === 'absent' && this.backing !== undefined) block.state = 'hole';
      block.bytes.set(bytes, Number(part.from - part.block * BLOCK));
    }
  }

  zero(offset: bigint, length: bigint, noHole: boolean): void {
    for (const part of this.parts(offset, length)) {
      const block = this.edge(part);
      if (part.whole || block.state !== 'data') {
        block.bytes.fill(0);
        if (noHole) block.state = 'reserved';
        else if (part.whole) block.state = this.backing === undefined ? 'absent' : 'hole';
      }
      block.bytes.fill(0, Number(part.from - part.block * BLOCK), Number(part.to - part.block * BLOCK));
    }
  }

  trim(offset: bigint, length: bigint): void {
    for (const part of this.parts(offset, length))
      if (part.whole) this.zero(part.from, part.to - part.from, false);
  }

  read(offset: bigint, length: number): Uint8Array {
    const into = new Uint8Array(length);
    for (const part of this.parts(offset, BigInt(length))) {
      const bytes = this.blocks.get(part.block)?.bytes ?? this.original(part.block);
      const start = part.block * BLOCK;
      into.set(
        bytes.subarray(Number(part.from - start), Number(part.to - start)),
        Number(part.from - offset),
      );
    }
    return into;
  }

  /** Flags of every byte's extent, one for each stretch of 512 bytes. */
  flags(offset: bigint, length: bigint): number[] {
    const flags = [];
    for (let at = offset; at < offset + length; at += 512n) {
      const state = this.blocks.get(at / BLOCK)?.state ?? 'absent';
      if (state === 'data') flags.push(0);
      else if (state === 'reserved') flags.push(2);
      else if (state === 'absent' && this.backing !== undefined) flags.push(this.backing.flagsAt(at));
      else flags.push(3);
    }
    return flags;
  }

  get usedBytes(): bigint {
    let used = 0n;
    for (const { state } of this.blocks.values()) if (state === 'data' || state === 'reserved') used += BLOCK;
    return used;
  }

  /** The block of a part; one over the backing that is to be kept in part counts as copied. */
  private edge(part: { block: bigint; whole: boolean }): { state: State; bytes: Uint8Array } {
    let block = this.blocks.get(part.block);
    if (block === undefined) {
      block = { state: 'absent', bytes: this.original(part.block) };
      this.blocks.set(part.block, block);
    }
    if (block.state === 'absent' && this.backing !== undefined && !part.whole) {
      block.state = isAllZero(block.bytes) ? 'hole' : 'data';
    }
    return block;
  }

  private original(block: bigint): Uint8Array {
    const bytes = new Uint8Array(Number(BLOCK));
    this.backing?.fill(block * BLOCK, bytes);
    return bytes;
  }

  private *parts(
    offset: bigint,
    length: bigint,
  ): Generator<{ block: bigint; from: bigint; to: bigint; whole: boolean }> {
    const end = offset + length;
    for (let from = offset; from < end;) {
      const block = from / BLOCK;
      const blockEnd = (block + 1n) * BLOCK < this.size ? (block + 1n) * BLOCK : this.size;
      const to = blockEnd < end ? blockEnd : end;
      yield { block, from, to, whole: from === block * BLOCK && to === blockEnd };
      from = to;
    }
  }
}

/** Zeroes in every other stretch of 10 KiB, and bytes that depend on the offset in the others. */
export class PatternBacking implements Backing {
  readonly slow: boolean;

  /** @param slow whether its methods return promises */
  constructor(slow: boolean) {
    this.slow = slow;
  }

  read(offset: bigint, into: Uint8Array): void | Promise<void> {
    if (!this.slow) {
      this.fill(offset, into);
      return;
    }
    return new Promise((resolve) => {
      setImmediate(() => {
        this.fill(offset, into);
        resolve();
      });
    });
  }

  extents(offset: bigint, length: bigint, sink: ExtentSink): void | Promise<void> {
    const describe = (): void => {
      for (let at = offset; at < offset + length;) {
        const end = (at / STRETCH + 1n) * STRETCH;
        if (!sink.add(end - at, this.flagsAt(at))) return;
        at = end;
      }
    };
    if (!this.slow) {
      describe();
      return;
    }
    return Promise.resolve().then(describe);
  }

  fill(offset: bigint, into: Uint8Array): void {
    for (let at = 0; at < into.length;) {
      const place = offset + BigInt(at);
      const within = Number(place % STRETCH);
      const end = Math.min(at + Number(STRETCH) - within, into.length);
      const first = Number((place / STRETCH) % 200n) + within;
      if (this.flagsAt(place) === 3) into.fill(0, at, end);
      else for (let i = at; i < end; i++) into[i] = ((first + i - at) % 255) + 1;
      at = end;
    }
  }

  flagsAt(offset: bigint): number {
    return (offset / STRETCH) % 2n === 0n ? 0 : 3;
  }
}

const STRETCH = 10_240n;

function isAllZero(bytes: Uint8Array): boolean {
  return Buffer.alloc(bytes.length).equals(bytes);
}
