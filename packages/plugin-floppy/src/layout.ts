import { printable } from './byte-string.js';
import { chooseDisk, type DiskWishes } from './capacity.js';
import { directoryBytes, putClusters } from './directory.js';
import { SECTOR, SLOT, type Demand, type Geometry } from './geometry.js';
import { entryNames } from './names.js';
import type { Chains } from './table.js';
import { FileList, type Directory } from './tree.js';

/** What the disk shall be like. */
export interface Wishes extends DiskWishes {
  /** 11 characters. */
  readonly label: string;
  /** Whether dates are those of UTC. */
  readonly utc: boolean;
}

/** Where everything is. It has the directories, but neither what is in files nor the table. */
export interface Layout {
  /** Of the whole disk, in bytes. */
  readonly size: number;
  readonly geometry: Geometry;
  /** A number that goes with what is on the disk: 32 bits, not 0. */
  readonly serial: number;
  /** The root directory, where it is not a chain: FAT12 and FAT16. */
  readonly root: Uint8Array | undefined;
  /** The directories that are chains: the first of {@link starts}. */
  readonly directories: readonly Uint8Array[];
  /** The other chains. */
  readonly files: FileList;
  readonly starts: Chains;
}

/**
 * Lays the tree out: directories first, then the files, each in one piece and without gaps.
 * @param directories the root first; their nodes get to know their first clusters.
 * @param warn told of each name that has to be another one on the disk.
 * @throws NbdError ENOSPC if it does not fit.
 */
export function layOut(
  directories: readonly Directory[],
  wishes: Wishes,
  warn: (message: string) => void,
): Layout {
  // One directory's names at a time: those of all would take more memory than anything else.
  const contents = directories.map((directory) =>
    directoryBytes(directory, entryNames(directory, warn), wishes.label, wishes.utc),
  );
  const files = new FileList(directories);
  const [root, ...others] = contents;
  const demand: Demand = {
    rootSlots: root!.length / SLOT,
    clusters(clusterSize) {
      let sum = 0;
      for (const { length } of others) sum += Math.ceil(length / clusterSize);
      for (let i = 0; i < files.length; i++) sum += Math.ceil(files.size(i) / clusterSize);
      return sum;
    },
    free: wishes.capacity.free,
  };
  const tree = printable(directories[0]!.name);
  const { size, geometry } = chooseDisk(demand, wishes, tree);

  const first = geometry.type === 32 ? 0 : 1;
  const chains = contents.slice(first);
  const starts = placeChains(directories.slice(first), chains, files, geometry.sectorsPerCluster * SECTOR);
  directories.forEach((directory, i) => {
    putClusters(directory, contents[i]!);
  });
  return {
    size,
    geometry,
    serial: serialOf(contents),
    root: geometry.type === 32 ? undefined : root,
    directories: chains,
    files,
    starts,
  };
}

/** Gives each chain as many of the clusters from 2 on as it takes: first the directories, then the files. */
function placeChains(
  directories: readonly Directory[],
  contents: readonly Uint8Array[],
  files: FileList,
  clusterSize: number,
): Chains {
  const starts = new Uint32Array(directories.length + files.length + 1);
  let chain = 0;
  let cluster = 2;
  const next = (length: number): number => {
    const start = (starts[chain++] = cluster);
    cluster += Math.ceil(length / clusterSize);
    return start;
  };
  directories.forEach((directory, i) => {
    directory.firstCluster = next(contents[i]!.length);
  });
  for (let i = 0; i < files.length; i++) {
    const { parent, place } = files.at(i);
    parent.files.firstClusters[place] = next(files.size(i));
  }
  starts[chain] = cluster;
  return starts;
}

/**
 * The same for the same names, sizes and dates, so that systems know the disk again, and know when it is another. By
 * FNV-1a: to load `node:crypto` would take 4 ms of each start.
 */
function serialOf(directories: readonly Uint8Array[]): number {
  let hash = 0x811c_9dc5;
  for (const bytes of directories) {
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x0100_0193);
  }
  return hash >>> 0 || 1;
}
