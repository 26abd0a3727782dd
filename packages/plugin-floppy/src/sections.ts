import type { LocatedSink } from '@nbd/protocol';
import { reservedSectors } from './boot.js';
import { Clusters, copy } from './clusters.js';
import type { FileReader } from './files.js';
import { rootSectors, SECTOR } from './geometry.js';
import type { Layout } from './layout.js';
import { masterBootRecord } from './mbr.js';
import { Table } from './table.js';

/** A part of the disk, from `start` up to `end` in bytes. */
export interface Section {
  readonly start: number;
  readonly end: number;
  /** Undefined where all is zero. */
  readonly read: Read | undefined;
  /** Where bytes may lie in files. */
  readonly locate?: Locate | undefined;
}

/** Fills `into` with the bytes from `at` on, which counts from the section's start. */
export type Read = (at: number, into: Uint8Array) => void | Promise<void>;

/** Gives `length` bytes from `at` on to `sink`, as `BlockDevice.locate` does. */
export type Locate = (at: number, length: number, sink: LocatedSink) => boolean;

/**
 * The disk from its first byte to its last.
 * @param start sectors in front of the volume: a partition table, unless it is 0.
 * @param label 11 characters.
 */
export function sectionsOf(layout: Layout, start: number, label: string, files: FileReader): Section[] {
  const { geometry, serial, starts, root = new Uint8Array() } = layout;
  const clusterSize = geometry.sectorsPerCluster * SECTOR;
  const firstFree = starts.at(-1)!;
  const partitions = start > 0 ? masterBootRecord(geometry, serial) : new Uint8Array();
  const reserved = reservedSectors(geometry, { label, serial, start, firstFree });
  const table = new Table(geometry.type, geometry.media, starts);
  const readTable: Read = (at, into) => {
    table.read(at, into);
  };

  const disk = new Sections();
  disk.add(start * SECTOR, partitions.length, readStored(partitions));
  disk.add(reserved.length, reserved.length, readStored(reserved));
  disk.add(geometry.sectorsPerTable * SECTOR, table.usedBytes, readTable);
  disk.add(geometry.sectorsPerTable * SECTOR, table.usedBytes, readTable);
  disk.add(rootSectors(geometry) * SECTOR, root.length, readStored(root));
  const clusters = new Clusters(layout, files);
  disk.add(
    geometry.clusters * clusterSize,
    (firstFree - 2) * clusterSize,
    (at, into) => clusters.read(at, into),
    (at, length, sink) => clusters.locate(at, length, sink),
  );
  return disk.upTo(layout.size);
}

/** Puts sections one behind the other. */
class Sections {
  readonly #all: Section[] = [];
  #end = 0;

  /** `used` bytes for `read`, and zeroes up to `size`. */
  add(size: number, used: number, read: Read, locate?: Locate): void {
    const end = this.#end + size;
    this.#put(this.#end + Math.ceil(used / SECTOR) * SECTOR, read, locate);
    this.#put(end, undefined);
  }

  upTo(end: number): Section[] {
    this.#put(end, undefined);
    return this.#all;
  }

  #put(end: number, read: Read | undefined, locate?: Locate): void {
    if (end === this.#end) return;
    this.#all.push({ start: this.#end, end, read, locate });
    this.#end = end;
  }
}

function readStored(bytes: Uint8Array): Read {
  return (at, into) => {
    copy(bytes, at, into);
  };
}
