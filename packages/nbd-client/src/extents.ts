import { ExtentFlag, type BlockDevice, type ExtentsOptions } from '@nbd/protocol';

/** A range of the disk that is alike. */
export interface Extent {
  /** Bytes from the start of the disk. */
  readonly offset: bigint;
  /** Bytes, at least 1. */
  readonly length: bigint;
  /** As the meta context defines them; for `base:allocation` the bits of `ExtentFlag`. */
  readonly flags: number;
  /** For `base:allocation`: not allocated. */
  readonly hole: boolean;
  /** For `base:allocation`: reads as zeroes. */
  readonly zero: boolean;
}

/** Questions under way at once, and answers in full after which longer ones are asked. */
const DEPTH = 8;

/** Shortest range that is asked about, where a server tells little at a time. */
const SHORTEST = 1n << 20n;

/** A range in the order of the disk, and what the server says of it once it is asked. */
interface Segment {
  start: bigint;
  end: bigint;
  answer?: Promise<Told[]>;
}

interface Told {
  length: bigint;
  readonly flags: number;
}

/**
 * The extents of a range, merged where they are alike. Where one starts is not known before the one in front of it:
 * to ask ahead all the same the range is divided, into pieces as long as the device has been seen to answer at once.
 */
export async function* iterateExtents(
  device: Pick<BlockDevice, 'extents' | 'info' | 'size'>,
  offset: bigint,
  length: bigint,
  options: ExtentsOptions,
): AsyncGenerator<Extent, void> {
  const plan = new Plan(device, offset, offset + length, options);
  let last: Told | undefined;
  let at = offset;
  for (let told = await plan.next(); told; told = await plan.next()) {
    for (const { length, flags } of told) {
      if (last?.flags === flags) {
        last.length += length;
        continue;
      }
      if (last) {
        yield extent(at, last);
        at += last.length;
      }
      last = { length, flags };
    }
  }
  if (last) yield extent(at, last);
}

class Plan {
  readonly #device: Pick<BlockDevice, 'extents'>;
  readonly #options: ExtentsOptions;
  readonly #segments: Segment[];
  /** Everything before is told. */
  #at: bigint;
  readonly #end: bigint;
  readonly #alignment: bigint;
  #stride: bigint;
  #answeredInFull = 0;

  constructor(
    device: Pick<BlockDevice, 'extents' | 'info' | 'size'>,
    start: bigint,
    end: bigint,
    options: ExtentsOptions,
  ) {
    this.#device = device;
    this.#options = options;
    this.#at = start;
    this.#end = end;
    const alignment = BigInt(device.info?.blockSize?.minimum ?? 1);
    this.#alignment = alignment;
    const first = start - (start % alignment);
    const last = end + ((alignment - (end % alignment)) % alignment);
    this.#segments = start < end ? [{ start: first, end: last < device.size ? last : device.size }] : [];
    this.#stride = last - first;
  }

  /** The next extents, the first of which starts where the last ones ended; undefined at the end. */
  async next(): Promise<Told[] | undefined> {
    while (this.#at < this.#end && this.#segments.length > 0) {
      this.#ask();
      const segment = this.#segments.shift()!;
      const told = this.#take(segment, await segment.answer!);
      if (told.length > 0) return told;
    }
    return undefined;
  }

  #ask(): void {
    for (let i = 0; i < DEPTH && i < this.#segments.length; i++) {
      const segment = this.#segments[i]!;
      if (segment.answer) continue;
      if (segment.end - segment.start > this.#stride) {
        const middle = segment.start + this.#stride;
        this.#segments.splice(i + 1, 0, { start: middle, end: segment.end });
        segment.end = middle;
      }
      segment.answer = this.#query(segment);
      // It may be of no interest any more by the time it comes.
      segment.answer.catch(() => undefined);
    }
  }

  async #query({ start, end }: Segment): Promise<Told[]> {
    if (!this.#device.extents) return [{ length: end - start, flags: 0 }];
    const told: Told[] = [];
    await this.#device.extents(
      start,
      end - start,
      { add: (length, flags) => told.push({ length, flags }) > 0 },
      this.#options,
    );
    return told;
  }

  /** The part of the answer that is new. What is left of the segment is asked next. */
  #take({ start, end }: Segment, answer: readonly Told[]): Told[] {
    const news: Told[] = [];
    let at = start;
    for (const { length, flags } of answer) {
      const next = at + length;
      const from = at > this.#at ? at : this.#at;
      const to = next < this.#end ? next : this.#end;
      at = next;
      if (to <= from) continue;
      news.push({ length: to - from, flags });
      this.#at = to;
    }
    if (at < end) {
      this.#stride = this.#aligned(at - start);
      this.#answeredInFull = 0;
      this.#segments.unshift({ start: at, end });
    } else {
      if (++this.#answeredInFull % DEPTH === 0) this.#stride *= 2n;
      this.#skipTo(at);
    }
    return news;
  }

  /** The last extent may have reached far beyond what was asked. */
  #skipTo(at: bigint): void {
    while (this.#segments.length > 0 && this.#segments[0]!.end <= at) this.#segments.shift();
    const next = this.#segments[0];
    if (next && !next.answer && next.start < at) next.start = at;
  }

  #aligned(length: bigint): bigint {
    const stride = length > SHORTEST ? length : SHORTEST;
    return stride + ((this.#alignment - (stride % this.#alignment)) % this.#alignment);
  }
}

function extent(offset: bigint, { length, flags }: Told): Extent {
  return {
    offset,
    length,
    flags,
    hole: (flags & ExtentFlag.HOLE) !== 0,
    zero: (flags & ExtentFlag.ZERO) !== 0,
  };
}
