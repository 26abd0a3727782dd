import { reservedSectors } from './boot.js';
import type { FileReader } from './files.js';
import { rootSectors, SECTOR } from './geometry.js';
import type { Layout } from './layout.js';
import { masterBootRecord } from './mbr.js';
import type { File } from './scan.js';
import { chainOf, Table } from './table.js';

/** A part of the disk, from `start` up to `end` in bytes. */
export interface Section {
  readonly start: number;
  readonly end: number;
  /** Undefined where all is zero. */
  readonly read: Read | undefined;
}

/**
 * Fills `into` with the bytes from `at` on, which counts from the section's start. What can't be done at once is put
 * into `pending`.
 */
export type Read = (at: number, into: Uint8Array, pending: Promise<void>[]) => void;

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
  disk.add(geometry.clusters * clusterSize, (firstFree - 2) * clusterSize, readClusters(layout, files));
  return disk.upTo(layout.size);
}

/** Puts sections one behind the other. */
class Sections {
  readonly #all: Section[] = [];
  #end = 0;

  /** `used` bytes for `read`, and zeroes up to `size`. */
  add(size: number, used: number, read: Read): void {
    const end = this.#end + size;
    this.#put(this.#end + Math.ceil(used / SECTOR) * SECTOR, read);
    this.#put(end, undefined);
  }

  upTo(end: number): Section[] {
    this.#put(end, undefined);
    return this.#all;
  }

  #put(end: number, read: Read | undefined): void {
    if (end === this.#end) return;
    this.#all.push({ start: this.#end, end, read });
    this.#end = end;
  }
}

function readStored(bytes: Uint8Array): Read {
  return (at, into) => {
    const part = bytes.subarray(at, at + into.length);
    into.set(part);
    into.fill(0, part.length);
  };
}

function readClusters({ geometry, starts, chains }: Layout, files: FileReader): Read {
  const clusterSize = geometry.sectorsPerCluster * SECTOR;
  const startOf = (chain: number) => (starts[chain]! - 2) * clusterSize;
  return (at, into, pending) => {
    let chain = chainOf(2 + Math.floor(at / clusterSize), starts);
    for (let done = 0; done < into.length; chain++) {
      const part = into.subarray(done, done + startOf(chain + 1) - (at + done));
      readChain(chains[chain]!, at + done - startOf(chain), part, pending);
      done += part.length;
    }
  };

  function readChain(
    content: Uint8Array | File,
    at: number,
    into: Uint8Array,
    pending: Promise<void>[],
  ): void {
    if (content instanceof Uint8Array) {
      readStored(content)(at, into, pending);
      return;
    }
    const length = Math.min(Math.max(content.size - at, 0), into.length);
    // What is left of the last cluster.
    into.fill(0, length);
    if (length > 0) pending.push(files.read(content, at, into.subarray(0, length)));
  }
}
