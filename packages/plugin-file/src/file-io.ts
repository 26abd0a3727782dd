import { read, write, writeSync } from 'node:fs';
import type { LocatedSink, NbdError } from '@nbd/protocol';
import { toNbdError, truncated } from './errors.js';
import type { OpenFile } from './open-file.js';
import { ReadsAtOnce, type System } from './system/index.js';
import type { UnderWay } from './under-way.js';

/**
 * Longest transfer, in bytes, that is made on the main thread where it waits for no disk: 0.3 ms at most. A trip to
 * another thread costs more, for 256 KiB too (2 GiB written by nbdcopy: 1.1 s of processor time, there 1.6 s).
 */
const LONGEST_AT_ONCE = 1 << 20;

/** Reads and writes whole buffers, at any position of a file. */
export class FileIo {
  private readonly fd: number;
  private readonly file: OpenFile;
  private readonly system: System | undefined;
  private readonly underWay: UnderWay;
  private readonly readsAtOnce: ReadsAtOnce;

  constructor(file: OpenFile, system: System | undefined, underWay: UnderWay) {
    this.fd = file.fd;
    this.file = file;
    this.system = system;
    this.underWay = underWay;
    this.readsAtOnce = new ReadsAtOnce(system, file.inMemory);
  }

  /** @throws NbdError EIO if the file has become shorter */
  read(position: bigint, into: Uint8Array): void | Promise<void> {
    const done = into.length <= LONGEST_AT_ONCE ? this.readAtOnce(position, into) : 0;
    if (done < into.length) return this.readOnThread(position, into, done);
  }

  /** @returns whether `sink` has all of it */
  locate(position: bigint, length: number, sink: LocatedSink): boolean {
    return this.readsAtOnce.locate(this.fd, position, length, sink);
  }

  write(position: bigint, from: Uint8Array): void | Promise<void> {
    const done = from.length <= LONGEST_AT_ONCE ? this.writeAtOnce(position, from) : 0;
    if (done < from.length) return this.writeOnThread(position, from, done);
  }

  /** @returns how many bytes could be read without waiting for a disk */
  private readAtOnce(position: bigint, into: Uint8Array): number {
    try {
      return this.readsAtOnce.read(this.fd, into, position);
    } catch (error) {
      throw this.failure(error, position);
    }
  }

  private readOnThread(position: bigint, into: Uint8Array, done: number): Promise<void> {
    this.underWay.start();
    return new Promise<void>((resolve, reject) => {
      const step = (from: number): void => {
        const at = position + BigInt(from);
        read(this.fd, into, from, into.length - from, place(at), (error, count) => {
          if (error === null && count > 0 && from + count < into.length) {
            step(from + count);
            return;
          }
          this.underWay.end();
          if (error !== null) reject(this.failure(error, at));
          else if (count === 0) reject(truncated(this.file, at));
          else resolve();
        });
      };
      step(done);
    });
  }

  /** Only to memory: the page cache makes writers wait for the disk when it has much to write. */
  private writeAtOnce(position: bigint, from: Uint8Array): number {
    if (!this.file.inMemory || !isWritable(position, from.length)) return 0;
    try {
      return writeSync(this.fd, from, 0, from.length, Number(position));
    } catch (error) {
      throw this.failure(error, position);
    }
  }

  private writeOnThread(position: bigint, from: Uint8Array, done: number): Promise<void> {
    if (!isWritable(position, from.length)) return this.writeFar(position, from, done);
    this.underWay.start();
    return new Promise<void>((resolve, reject) => {
      const step = (start: number): void => {
        write(this.fd, from, start, from.length - start, Number(position) + start, (error, count) => {
          if (error === null && start + count < from.length) {
            step(start + count);
            return;
          }
          this.underWay.end();
          if (error === null) resolve();
          else reject(this.failure(error, position));
        });
      };
      step(done);
    });
  }

  private writeFar(position: bigint, from: Uint8Array, done: number): Promise<void> {
    return this.underWay.during(async () => {
      try {
        for (let start = done; start < from.length;) {
          start += await this.system!.write(this.fd, from.subarray(start), position + BigInt(start));
        }
      } catch (error) {
        throw this.failure(error, position);
      }
    });
  }

  private failure(error: unknown, at: bigint): NbdError {
    return toNbdError(error, this.file.name, at);
  }
}

/** `fs.write` given a bigint, or a number past 2^53-1, writes at the current position instead, and says nothing. */
function isWritable(position: bigint, length: number): boolean {
  return position + BigInt(length) <= Number.MAX_SAFE_INTEGER;
}

/** A position for `fs.read`, which takes either; numbers are quicker. */
function place(position: bigint): number | bigint {
  return position <= Number.MAX_SAFE_INTEGER ? Number(position) : position;
}
