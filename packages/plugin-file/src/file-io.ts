import { read, writeSync } from 'node:fs';
import type { LocatedSink, NbdError } from '@nbd/protocol';
import { toNbdError, truncated } from './errors.js';
import type { OpenFile } from './open-file.js';
import { ReadsAtOnce, type System } from './system/index.js';
import type { UnderWay } from './under-way.js';
import { WriteQueue } from './write-queue.js';

/**
 * Longest transfers, in bytes, that are made on the main thread where they wait for no disk. A trip to another thread
 * takes longer than a read, whose bytes are there, or a short write. A long one may have to find much memory: while
 * another thread does, this one receives more.
 */
const LONGEST_READ_AT_ONCE = 1 << 20;
const LONGEST_WRITE_AT_ONCE = 256 << 10;

/** Reads and writes whole buffers, at any position of a file. */
export class FileIo {
  private readonly fd: number;
  private readonly file: OpenFile;
  private readonly system: System | undefined;
  private readonly underWay: UnderWay;
  private readonly readsAtOnce: ReadsAtOnce;
  private readonly writes: WriteQueue;

  constructor(file: OpenFile, system: System | undefined, underWay: UnderWay) {
    this.fd = file.fd;
    this.file = file;
    this.system = system;
    this.underWay = underWay;
    this.readsAtOnce = new ReadsAtOnce(system, file.inMemory);
    this.writes = new WriteQueue(file.fd);
  }

  /** @throws NbdError EIO if the file has become shorter */
  read(position: bigint, into: Uint8Array): void | Promise<void> {
    const done = into.length <= LONGEST_READ_AT_ONCE ? this.readAtOnce(position, into) : 0;
    if (done < into.length) return this.readOnThread(position, into, done);
  }

  /** @returns whether `sink` has all of it */
  locate(position: bigint, length: number, sink: LocatedSink): boolean {
    return this.readsAtOnce.locate(this.fd, position, length, sink);
  }

  write(position: bigint, from: Uint8Array): void | Promise<void> {
    const done = from.length <= LONGEST_WRITE_AT_ONCE ? this.writeAtOnce(position, from) : 0;
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
    const start = position + BigInt(done);
    const bytes = from.subarray(done);
    return this.underWay.during(async () => {
      try {
        if (isWritable(position, from.length)) await this.writes.write(Number(start), bytes);
        else await this.writeFar(start, bytes);
      } catch (error) {
        throw this.failure(error, position);
      }
    });
  }

  private async writeFar(position: bigint, from: Uint8Array): Promise<void> {
    for (let done = 0; done < from.length;) {
      done += await this.system!.write(this.fd, from.subarray(done), position + BigInt(done));
    }
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
