import { reservedSectors } from './boot.js';
import type { FileReader } from './files.js';
import { rootSectors, SECTOR } from './geometry.js';
import type { Layout } from './layout.js';
import { masterBootRecord } from './mbr.js';
import { chainOf, Table } from './table.js';

/** A part of the disk, from `start` up to `end` in bytes. */
export interface Section {
  readonly start: number;
  readonly end: number;
  /** Undefined where all is zero. */
  readonly read: Read | undefined;
}

/** Fills `into` with the bytes from `at` on, which counts from the section's start. */
export type Read = (at: number, into: Uint8Array) => void | Promise<void>;

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
    copy(bytes, at, into);
  };
}

/** With zeroes behind the end of `bytes`. */
function copy(bytes: Uint8Array, at: number, into: Uint8Array): void {
  const part = bytes.subarray(at, at + into.length);
  into.set(part);
  into.fill(0, part.length);
}

function readClusters({ geometry, starts, chains }: Layout, files: FileReader): Read {
  const clusterSize = geometry.sectorsPerCluster * SECTOR;
  const startOf = (chain: number) => (starts[chain]! - 2) * clusterSize;
  const chainAt = (at: number) => chainOf(2 + Math.floor(at / clusterSize), starts);

  const readChain = (chain: number, at: number, into: Uint8Array) => {
    const content = chains[chain]!;
    const position = at - startOf(chain);
    if (content instanceof Uint8Array) {
      copy(content, position, into);
      return undefined;
    }
    const length = Math.min(Math.max(content.size - position, 0), into.length);
    // What is left of the last cluster.
    into.fill(0, length);
    return length === 0 ? undefined : files.read(content, position, into.subarray(0, length));
  };

  const readChains = async (at: number, into: Uint8Array) => {
    let chain = chainAt(at);
    for (let done = 0; done < into.length;) {
      const pending: Promise<void>[] = [];
      while (done < into.length && pending.length < FILES_AT_ONCE) {
        const part = into.subarray(done, startOf(chain + 1) - at);
        const reading = readChain(chain++, at + done, part);
        if (reading !== undefined) pending.push(reading);
        done += part.length;
      }
      await allOf(pending);
    }
  };

  return (at, into) => {
    const chain = chainAt(at);
    return at + into.length <= startOf(chain + 1) ? readChain(chain, at, into) : readChains(at, into);
  };
}

/**
 * Files that one read has open at the same time. It is not all of them because that may be thousands, and there may be
 * hundreds of reads; and libuv has but four threads to read with.
 */
const FILES_AT_ONCE = 8;

/** Fails if one of them does, but not before all have come to an end: until then they write into the buffer. */
export async function allOf(pending: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(pending);
  const failure = results.find(({ status }) => status === 'rejected');
  if (failure !== undefined) throw (failure as PromiseRejectedResult).reason;
}
