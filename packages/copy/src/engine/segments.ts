import { ExtentFlag, NbdError, type BlockDevice } from '@nbd/protocol';

/** A stretch of the source that is of one kind. */
export interface Segment {
  readonly start: bigint;
  readonly end: bigint;
  /** Reads as zeroes. A hole that does not say so is data: what it reads as is copied. */
  readonly zero: boolean;
}

/** Extents that are collected before they are worked on. */
const BATCH = 4096;

export interface SegmentOptions {
  /** Bytes from the start of the disk; a multiple of `granularity`. */
  readonly start: bigint;
  /** Bytes; a power of 2. Where data and zeroes meet within a block of that size, the whole block is data. */
  readonly granularity: bigint;
  /** Where to stop, in bytes: the device's size unless told otherwise. */
  readonly end?: bigint;
  readonly signal: AbortSignal;
}

/**
 * Cuts `device` into segments of data and zeroes, by its extents, in order and without gaps.
 * @throws NbdError EPROTO if the extents lead nowhere; what the device throws
 */
export async function* segments(device: BlockDevice, options: SegmentOptions): AsyncGenerator<Segment> {
  const size = options.end ?? device.size;
  const cutter = new Cutter(options.start, size, options.granularity);
  for (let at = options.start; at < size;) {
    const extents = await queryExtents(device, at, size, options.signal);
    for (const { length, zero } of extents) {
      const end = at + length < size ? at + length : size;
      cutter.add(end, zero);
      at = end;
    }
    yield* cutter.take();
  }
}

/** The whole of a device as one segment of data, for those who want it read whatever its extents say. */
export async function* everything(device: BlockDevice, start: bigint): AsyncGenerator<Segment> {
  if (start < device.size) yield await Promise.resolve({ start, end: device.size, zero: false });
}

async function queryExtents(
  device: BlockDevice,
  at: bigint,
  end: bigint,
  signal: AbortSignal,
): Promise<{ length: bigint; zero: boolean }[]> {
  const found: { length: bigint; zero: boolean }[] = [];
  if (!device.extents) return [{ length: end - at, zero: false }];
  await device.extents(
    at,
    end - at,
    {
      add(length, flags) {
        if (length <= 0n)
          throw new NbdError('EPROTO', `an extent of ${length} bytes at ${at}: the source makes no sense`);
        found.push({ length, zero: (flags & ExtentFlag.ZERO) !== 0 });
        return found.length < BATCH;
      },
    },
    { signal },
  );
  if (found.length === 0) throw new NbdError('EPROTO', `no extent at ${at}: the source makes no sense`);
  return found;
}

/** Joins extents of one kind, and cuts at whole blocks: a block is zero if all of it is. */
class Cutter {
  readonly #size: bigint;
  readonly #mask: bigint;
  /** All before it is cut; at a block's start. */
  #cut: bigint;
  /** All before it is known. */
  #known: bigint;
  /** Where the extents of the kind that came last began. */
  #runStart: bigint;
  #runZero = false;
  #ready: Segment[] = [];

  constructor(start: bigint, size: bigint, granularity: bigint) {
    this.#size = size;
    this.#mask = ~(granularity - 1n);
    this.#cut = start;
    this.#known = start;
    this.#runStart = start;
  }

  /** What lies between the last `end` and this one. */
  add(end: bigint, zero: boolean): void {
    if (zero !== this.#runZero) {
      this.#cutZeroes();
      this.#runStart = this.#known;
      this.#runZero = zero;
    }
    this.#known = end;
  }

  /** The segments that are certain by now. */
  take(): Segment[] {
    if (this.#runZero) this.#cutZeroes();
    else this.#emit(this.#lastBlockEnd(), false);
    if (this.#known === this.#size) this.#emit(this.#size, false);
    return this.#ready.splice(0);
  }

  /** The whole blocks of the current run of zeroes; what is before them is data. */
  #cutZeroes(): void {
    if (!this.#runZero) return;
    const firstBlock = (this.#runStart + ~this.#mask) & this.#mask;
    const end = this.#lastBlockEnd();
    if (end <= firstBlock || end <= this.#cut) return;
    this.#emit(firstBlock, false);
    this.#emit(end, true);
  }

  /** The end of the last block that is known whole; the last block of the disk may be shorter. */
  #lastBlockEnd(): bigint {
    return this.#known === this.#size ? this.#size : this.#known & this.#mask;
  }

  #emit(end: bigint, zero: boolean): void {
    if (end <= this.#cut) return;
    this.#ready.push({ start: this.#cut, end, zero });
    this.#cut = end;
  }
}
