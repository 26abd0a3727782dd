import { printable } from './byte-string.js';
import { chooseDisk, type DiskWishes } from './capacity.js';
import { directoryBytes, slotsOf } from './directory.js';
import { SECTOR, SLOT, type Demand, type Geometry } from './geometry.js';
import { entryNames } from './names.js';
import type { Directory, File, Node } from './scan.js';
import type { Chains } from './table.js';

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
  /** What each chain of {@link starts} holds: a directory's bytes, or a file's. */
  readonly chains: readonly (Uint8Array | File)[];
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
  const names = directories.map((directory) => entryNames(directory, warn));
  const slots = directories.map((directory, i) => slotsOf(directory, names[i]!));
  const files = directories.flatMap(({ children }) => children.filter(hasBytes));
  const nodes = [...directories, ...files];
  const sizes = [...slots.map((count) => count * SLOT), ...files.map(({ size }) => size)];

  const [rootSize, ...otherSizes] = sizes;
  const demand: Demand = {
    rootSlots: rootSize! / SLOT,
    clusters: (clusterSize) => otherSizes.reduce((sum, size) => sum + Math.ceil(size / clusterSize), 0),
    free: wishes.capacity.free,
  };
  const tree = printable(directories[0]!.name);
  const { size, geometry } = chooseDisk(demand, wishes, tree);

  const first = geometry.type === 32 ? 0 : 1;
  const starts = place(nodes.slice(first), sizes.slice(first), geometry.sectorsPerCluster * SECTOR);
  const contents = directories.map((directory, i) =>
    directoryBytes(directory, names[i]!, wishes.label, wishes.utc),
  );
  return {
    size,
    geometry,
    serial: serialOf(contents),
    root: geometry.type === 32 ? undefined : contents[0],
    chains: [...contents.slice(first), ...files],
    starts,
  };
}

function hasBytes(node: Node): node is File {
  return node.kind === 'file' && node.size > 0;
}

/** Gives each node as many of the clusters from 2 on as its size in bytes takes. */
function place(nodes: readonly Node[], sizes: readonly number[], clusterSize: number): Chains {
  const starts = new Uint32Array(nodes.length + 1);
  let cluster = 2;
  for (const [i, node] of nodes.entries()) {
    node.firstCluster = starts[i] = cluster;
    cluster += Math.ceil(sizes[i]! / clusterSize);
  }
  starts[nodes.length] = cluster;
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
