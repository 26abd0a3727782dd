import type { BlockDevice } from '@nbd/protocol';
import type { Random } from './random.js';

/** Bytes of a device that one request is about. */
export interface Range {
  readonly offset: bigint;
  readonly length: number;
}

/**
 * Picks ranges that a device has to take: inside of it, multiples of its minimum block size, no longer than its
 * maximum payload. Mistakes sit at edges: so half of the picks touch the start, the end, a power of 2 or the end of an
 * extent.
 */
export class Ranges {
  /** Every offset and length is a multiple of it. */
  readonly unit: number;
  /** Where the last whole unit ends. Bytes after it can't be reached. Protocol document, "Size constraints". */
  readonly end: bigint;
  /** Longest range, in bytes. */
  readonly maxLength: number;
  readonly #random: Random;
  readonly #blockSizes: readonly number[];
  readonly #powersOf2: bigint[] = [];
  readonly #landmarks: bigint[] = [];

  constructor(device: BlockDevice, maxLength: number, random: Random) {
    const { minimum = 1, maximum = 2 ** 32 - 1 } = device.info?.blockSize ?? {};
    this.unit = minimum;
    this.end = device.size - (device.size % BigInt(minimum));
    const longest = Math.min(maximum, Math.max(maxLength, 2 * minimum), Number(this.end));
    this.maxLength = longest - (longest % minimum);
    this.#random = random;
    const sizes = [512, 4096, 65536, device.info?.blockSize?.preferred ?? 4096];
    this.#blockSizes = sizes.filter((size) => size > minimum && size <= this.maxLength);
    for (let power = 1n << 9n; power < this.end; power <<= 1n) this.#powersOf2.push(power);
  }

  /** A place where something changes: ranges that touch it are picked more often. */
  addLandmark(offset: bigint): void {
    if (this.#landmarks.length < 100) this.#landmarks.push(offset);
    else this.#landmarks[this.#random.below(100)] = offset;
  }

  /** Any range. */
  pick(): Range {
    const units = this.#random.upTo(this.maxLength / this.unit);
    const anchor = this.#unitsAt(this.#anchor());
    const before = this.#random.pick([0, units, this.#random.below(units + 1)]);
    return this.#wholeBlocks(this.#range(anchor - BigInt(before), units), 0n, this.end);
  }

  /** A range that this one lies in, longer if the device allows it. */
  around({ offset, length }: Range): Range {
    const more = this.#random.below((this.maxLength - length) / this.unit + 1);
    const before = BigInt(this.#random.below(more + 1));
    return this.#range(this.#unitsAt(offset) - before, length / this.unit + more);
  }

  /** A range inside of this one. */
  within({ offset, length }: Range): Range {
    const all = length / this.unit;
    const units = this.#random.upTo(Math.min(all, this.maxLength / this.unit));
    const skipped = this.#random.pick([0, all - units, this.#random.below(all - units + 1)]);
    const range = { offset: offset + BigInt(skipped * this.unit), length: units * this.unit };
    return this.#wholeBlocks(range, offset, offset + BigInt(length));
  }

  /** Some ranges inside of this one, with one at its start and one at its end. */
  placesIn(range: Range): Range[] {
    const [head, tail, one, other] = [
      this.within(range),
      this.within(range),
      this.within(range),
      this.within(range),
    ];
    const end = range.offset + BigInt(range.length - tail.length);
    return [{ ...head, offset: range.offset }, { ...tail, offset: end }, one, other];
  }

  /** This range in pieces of which each can be one request: as long as possible, or about `count` at random. */
  pieces({ offset, length }: Range, count?: number): Range[] {
    const pieces: Range[] = [];
    const average = Math.ceil(length / this.unit / (count ?? 1));
    for (let at = 0; at < length;) {
      const most = Math.min(length - at, this.maxLength);
      const piece =
        count === undefined ? most : Math.min(most, (1 + this.#random.below(2 * average)) * this.unit);
      pieces.push({ offset: offset + BigInt(at), length: piece });
      at += piece;
    }
    return pieces;
  }

  #anchor(): bigint {
    if (this.#random.oneIn(2)) return this.#random.belowBig(this.end);
    const edges = this.#random.pick([[0n, this.end], this.#powersOf2, this.#landmarks]);
    return edges.length === 0 ? this.end : this.#random.pick(edges);
  }

  /** Half of the time, a range of whole blocks near this one: devices have ways of their own for those. */
  #wholeBlocks(range: Range, start: bigint, end: bigint): Range {
    if (this.#blockSizes.length === 0 || this.#random.oneIn(2)) return range;
    const size = this.#random.pick(this.#blockSizes);
    const block = BigInt(size);
    const first = range.offset / block;
    const from = (first * block < start ? first + 1n : first) * block;
    const most = (end - from) / block;
    const wanted = BigInt(Math.max(1, Math.floor(range.length / size)));
    const count = wanted < most ? wanted : most;
    return count < 1n ? range : { offset: from, length: Number(count) * size };
  }

  /** `units` units from unit `start` on, moved to where the device is. */
  #range(start: bigint, units: number): Range {
    const last = this.#unitsAt(this.end) - BigInt(units);
    const moved = start < 0n ? 0n : start > last ? last : start;
    return { offset: moved * BigInt(this.unit), length: units * this.unit };
  }

  #unitsAt(offset: bigint): bigint {
    return offset / BigInt(this.unit);
  }
}
