import { formatSize, NbdError, parseSize } from '@nbd/protocol';
import { floppyOf } from './floppies.js';
import {
  geometryOfSize,
  MAX_SECTORS,
  ROOT_SLOTS,
  SECTOR,
  SLOT,
  smallestGeometry,
  type Demand,
  type FatType,
  type Geometry,
} from './geometry.js';

/** What `size=` asks for, in bytes. */
export interface Capacity {
  /** Of the whole disk; undefined for what the tree takes. */
  readonly total: number | undefined;
  /** What shall stay free. */
  readonly free: number;
}

/**
 * Reads `size=TOTAL` or `size=+FREE`.
 * @throws NbdError EINVAL for anything else.
 */
export function parseCapacity(text: string | undefined): Capacity {
  if (text === undefined) return { total: undefined, free: 0 };
  const isFree = text.startsWith('+');
  const size = Number(parseSize(isFree ? text.slice(1) : text, { what: 'size' }));
  return isFree ? { total: undefined, free: size } : { total: size, free: 0 };
}

/** What kind of disk it shall be. */
export interface DiskWishes {
  readonly capacity: Capacity;
  /** Undefined for the one that suits the size. */
  readonly type: FatType | undefined;
  /** Sectors in front of the volume; 0 for a disk without partitions. */
  readonly start: number;
}

/**
 * Chooses a volume that the tree fits in, and the size of the disk in bytes.
 * @param tree its path, for messages.
 * @throws NbdError ENOSPC if there is none.
 */
export function chooseDisk(
  demand: Demand,
  wishes: DiskWishes,
  tree: string,
): { size: number; geometry: Geometry } {
  const { capacity, type, start } = wishes;
  if (capacity.total === undefined) {
    const geometry = smallestGeometry(demand, type, start);
    if (geometry === undefined) throw noVolume(demand, wishes, tree);
    return { size: (start + geometry.sectors) * SECTOR, geometry };
  }
  const sectors = Math.floor(capacity.total / SECTOR) - start;
  if (sectors * SECTOR > MAX_SIZE) throw tooLarge(`size=${formatSize(capacity.total)}`, type);
  const geometry = geometryOfSize(Math.min(sectors, MAX_SECTORS), demand, type, start === 0);
  if (geometry === undefined) throw noVolume(demand, wishes, tree);
  return { size: capacity.total, geometry };
}

/** 32 bits for the number of sectors. */
const MAX_SIZE = 2 ** 41;

/** With clusters of 32 KiB, the largest that there are. */
const LARGEST: Record<FatType, string> = {
  12: 'less than 128 MiB',
  16: 'less than 2 GiB',
  32: 'at most 2 TiB',
};

function noVolume(demand: Demand, { capacity: { total }, type, start }: DiskWishes, tree: string): NbdError {
  const rootSlots = (start === 0 ? floppyOf((total ?? 0) / SECTOR)?.rootSlots : undefined) ?? ROOT_SLOTS;
  if (type !== undefined && type !== 32 && demand.rootSlots > rootSlots) {
    return new NbdError(
      'ENOSPC',
      `the names in ${tree} take ${demand.rootSlots} slots of ${SLOT} bytes; the root directory of this FAT${type} ` +
        `has ${rootSlots}. Put them into a directory of their own, or take format=auto`,
    );
  }
  const smallest = smallestGeometry(demand, type, start);
  if (smallest === undefined) {
    const free = demand.free === 0 ? '' : ` with ${formatSize(demand.free)} of free space`;
    return tooLarge(tree + free, type);
  }
  const least = (start + smallest.sectors) * SECTOR;
  if (total === undefined || least <= total) return tooLarge(`size=${formatSize(total ?? 0)}`, type);
  return new NbdError(
    'ENOSPC',
    `${tree} does not fit on a disk of ${formatSize(total)}: as FAT${smallest.type} it takes size=${least / MIB}M`,
  );
}

function tooLarge(what: string, type: FatType = 32): NbdError {
  const instead = type === 32 ? '' : '. Take format=auto';
  return new NbdError('ENOSPC', `${what} is too large for FAT${type}, which has ${LARGEST[type]}${instead}`);
}

const MIB = 2 ** 20;
