import { close, fdatasync } from 'node:fs';
import { promisify } from 'node:util';
import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { toNbdError } from './errors.js';
import { FileIo } from './file-io.js';
import { FileRanges } from './file-ranges.js';
import { GroupFlush } from './group-flush.js';
import type { OpenFile } from './open-file.js';
import type { System } from './system/index.js';
import { UnderWay } from './under-way.js';

/** An open file as a disk. Any number of connections share it: it has one descriptor, and with it one lock. */
export class FileDisk {
  private readonly file: OpenFile;
  private readonly underWay = new UnderWay();
  private readonly io: FileIo;
  private readonly ranges: FileRanges | undefined;
  private closed: Promise<void> | undefined;
  private readonly flushes = new GroupFlush(() => this.flushNow());

  constructor(file: OpenFile, system: System | undefined) {
    this.file = file;
    this.io = new FileIo(file, system, this.underWay);
    this.ranges = system && new FileRanges(file, system, this.io, this.underWay);
  }

  /** The disk for one connection. */
  device(closed: () => Awaitable<void>): BlockDevice {
    const { io, ranges, file, flushes } = this;
    return {
      size: file.size,
      info: { readOnly: file.readOnly, multiConn: true, fastZero: ranges !== undefined },
      read: (offset, into) => io.read(offset, into),
      locate: (offset, length, sink) => io.locate(offset, length, sink),
      write: (offset, from) => io.write(offset, from),
      flush: () => flushes.flush(),
      ...(ranges && {
        zero: (offset, length, options) => ranges.zero(offset, length, options),
        trim: (offset, length) => ranges.trim(offset, length),
      }),
      ...(ranges?.tellsHoles && {
        extents(offset, length, sink) {
          ranges.extents(offset, length, sink);
        },
      }),
      close: closed,
    };
  }

  /** Closes the file, once nothing is under way. */
  close(): Promise<void> {
    this.closed ??= this.underWay.whenIdle().then(() => promisify(close)(this.file.fd));
    return this.closed;
  }

  private async flushNow(): Promise<void> {
    try {
      await this.underWay.during(() => promisify(fdatasync)(this.file.fd));
    } catch (error) {
      throw toNbdError(error, this.file.name);
    }
  }
}
