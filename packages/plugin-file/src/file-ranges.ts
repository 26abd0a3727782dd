import { fstatSync } from 'node:fs';
import { ExtentFlag, NbdError, type ExtentSink, type ZeroOptions } from '@nbd/protocol';
import { hasCode, toNbdError, truncated } from './errors.js';
import type { FileIo } from './file-io.js';
import type { OpenFile } from './open-file.js';
import type { System } from './system/index.js';
import type { UnderWay } from './under-way.js';

const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;
const DATA = 0;

/** Most extents of one call. Each takes two system calls of less than a microsecond, and more on a cold disk. */
const MOST_EXTENTS = 1024;

/** Longest write of zeroes, where they have to be written. */
const ZEROES = new Uint8Array(2 ** 20);

/** A block device's sectors are no longer than this. */
const LONGEST_SECTOR = 4096n;

/** Ranges of a file that are zeroed, given back or described, not transferred. */
export class FileRanges {
  private readonly file: OpenFile;
  private readonly system: System;
  private readonly io: FileIo;
  private readonly underWay: UnderWay;
  /** What the file system turned out not to have. */
  private readonly lacks = new Set<'punchHole' | 'zeroRange' | 'discard'>();

  constructor(file: OpenFile, system: System, io: FileIo, underWay: UnderWay) {
    this.file = file;
    this.system = system;
    this.io = io;
    this.underWay = underWay;
  }

  /** Whether `extents` can be asked: not of a block device. */
  get tellsHoles(): boolean {
    try {
      this.system.seekData(this.file.fd, 0n);
      return true;
    } catch {
      return false;
    }
  }

  async zero(offset: bigint, length: bigint, options: ZeroOptions = {}): Promise<void> {
    const { noHole = false, fastZero = false } = options;
    if (!noHole && (await this.try('punchHole', offset, length))) return;
    // Asked to zero a range without unmapping it, Linux may write zeroes to a block device.
    const mayBeSlow = this.file.isBlockDevice && fastZero;
    if (!mayBeSlow && (await this.try('zeroRange', offset, length))) return;
    if (fastZero) {
      throw new NbdError('ENOTSUP', `${this.file.name}: zeroes have to be written there`, { offset });
    }
    await this.writeZeroes(offset, offset + length, options.signal);
  }

  async trim(offset: bigint, length: bigint): Promise<void> {
    if (!this.file.isBlockDevice) {
      await this.try('punchHole', offset, length);
      return;
    }
    const start = ((offset + LONGEST_SECTOR - 1n) / LONGEST_SECTOR) * LONGEST_SECTOR;
    const end = ((offset + length) / LONGEST_SECTOR) * LONGEST_SECTOR;
    if (start < end) await this.try('discard', start, end - start);
  }

  /** @throws NbdError EIO if the file has become shorter */
  extents(offset: bigint, length: bigint, sink: ExtentSink): void {
    const { system, file } = this;
    const end = offset + length;
    let count = 0;
    for (let at = offset; at < end && count < MOST_EXTENTS; count++) {
      const data = least(system.seekData(file.fd, at) ?? this.endOfHole(end), file.size);
      const isHole = data > at;
      let next = isHole ? data : least(system.seekHole(file.fd, at), file.size);
      if (next <= at) next = end; // it became a hole between the two calls: data is what may be said of anything
      if (!sink.add(next - at, isHole ? HOLE : DATA)) return;
      at = next;
    }
  }

  /** Where the last hole ends, which begins before `end`. What was cut off is no hole. */
  private endOfHole(end: bigint): bigint {
    const { size } = fstatSync(this.file.fd, { bigint: true });
    if (size < end) throw truncated(this.file, size);
    return size;
  }

  /** @returns whether it is done. Otherwise the file system can't, or not for this range. */
  private async try(
    call: 'punchHole' | 'zeroRange' | 'discard',
    offset: bigint,
    length: bigint,
  ): Promise<boolean> {
    if (this.lacks.has(call)) return false;
    try {
      await this.underWay.during(() => this.system[call](this.file.fd, offset, length));
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOTSUP', 'ENOSYS', 'ENODEV')) this.lacks.add(call);
      // A range that is not aligned to the sectors of a block device is no valid one.
      else if (!hasCode(error, 'EINVAL')) throw toNbdError(error, this.file.name, offset);
      return false;
    }
  }

  private async writeZeroes(start: bigint, end: bigint, signal: AbortSignal | undefined): Promise<void> {
    for (let at = start; at < end;) {
      signal?.throwIfAborted();
      const count = end - at < ZEROES.length ? Number(end - at) : ZEROES.length;
      await this.io.write(at, count === ZEROES.length ? ZEROES : ZEROES.subarray(0, count));
      at += BigInt(count);
    }
  }
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
