import { floppyOf, type Floppy } from './floppies.js';

export const SECTOR = 512;
/** Bytes of one slot of a directory. A file takes one, and more for a long name. */
export const SLOT = 32;

/** Bits of one entry of the allocation table. */
export type FatType = 12 | 16 | 32;

/** What a FAT volume is made of. Counts are of sectors of 512 bytes unless they say otherwise. */
export interface Geometry {
  readonly type: FatType;
  /** Of the whole volume. */
  readonly sectors: number;
  readonly sectorsPerCluster: number;
  /** In front of the first table. */
  readonly reserved: number;
  /** Of one of the two tables. */
  readonly sectorsPerTable: number;
  /** Slots of the root directory; 0 on FAT32, where it is made of clusters as others are. */
  readonly rootSlots: number;
  /** Clusters; the first one has the number 2. */
  readonly clusters: number;
  readonly sectorsPerTrack: number;
  readonly heads: number;
  /** The media descriptor: 0xF8 for a hard disk. */
  readonly media: number;
}

/** What a tree takes of a volume. */
export interface Demand {
  /** Slots in use of the root directory. */
  readonly rootSlots: number;
  /** Clusters for everything but the root directory, when one has this many bytes. */
  readonly clusters: (clusterSize: number) => number;
  /** Bytes that shall stay free. */
  readonly free: number;
}

/** The most that a volume can have: BPB_TotSec32 has 32 bits, and tracks are whole. */
export const MAX_SECTORS = 0xffff_ffe0;

/**
 * The smallest volume that the demand fits in, as the specification's tables have it and with its end on a whole MiB.
 * @param type undefined for the one that suits the size.
 * @param start sectors in front of the volume.
 * @returns undefined if it fits in none.
 */
export function smallestGeometry(
  demand: Demand,
  type: FatType | undefined,
  start: number,
): Geometry | undefined {
  for (const row of rows(type)) {
    const shape = shapeOf(row, demand, type === undefined, HARD_DISK);
    const clusters = clustersNeeded(demand, shape);
    let end = start + Math.max(sectorsFor(clusters, shape), row.from);
    let geometry: Geometry;
    do {
      end = Math.ceil(end / SECTORS_OF_MIB) * SECTORS_OF_MIB;
      geometry = geometryOf(Math.min(end - start, MAX_SECTORS), shape);
      // Rounding up may have made the table a sector larger, and that taken a cluster away.
      end++;
    } while (geometry.clusters < clusters && geometry.sectors < MAX_SECTORS);
    if (geometry.sectors <= row.upTo && fits(demand, geometry)) return geometry;
  }
  return undefined;
}

/**
 * A volume of so many sectors that the demand fits in: as the specification's tables have it, or else one with smaller
 * clusters, of which less is wasted behind the ends of files.
 * @param sectors at most {@link MAX_SECTORS}.
 * @param type undefined for the one that suits the size.
 * @param bare whether no partition table is in front: the size of a floppy then makes it one.
 * @returns undefined if it fits in none.
 */
export function geometryOfSize(
  sectors: number,
  demand: Demand,
  type: FatType | undefined,
  bare: boolean,
): Geometry | undefined {
  const floppy = bare ? floppyOf(sectors) : undefined;
  const disk = floppy ?? HARD_DISK;
  const wholeTracks = sectors - (sectors % disk.sectorsPerTrack);
  const asFloppy: Row[] = floppy && (type ?? 12) === 12 ? [{ type: 12, ...floppy }] : [];
  const asTabled = rows(type).filter(({ from, upTo }) => from <= sectors && sectors <= upTo);
  return [...asFloppy, ...asTabled, ...otherRows(type)]
    .map((row) => geometryOf(wholeTracks, shapeOf(row, demand, type === undefined, disk)))
    .find((geometry) => fits(demand, geometry));
}

/** How a volume of some type and size is divided. */
interface Row {
  readonly type: FatType;
  readonly sectorsPerCluster: number;
}

/** A {@link Row} and the sizes of volumes that it is for, in sectors. */
interface TableRow extends Row {
  readonly from: number;
  readonly upTo: number;
}

type Shape = Omit<Geometry, 'sectors' | 'sectorsPerTable' | 'clusters'>;

const SECTORS_OF_MIB = 2048;

/**
 * Largest volume in sectors → sectors in a cluster. FAT specification, "FAT Volume Initialization". It has no table for
 * FAT12, of which it knows floppies only: there it is the smallest clusters of which there are not too many.
 */
const TABLES: Record<FatType, readonly (readonly [number, number])[]> = {
  12: [
    [4096, 1],
    [8192, 2],
    [16_256, 4],
    [32_512, 8],
    [65_024, 16],
    [130_048, 32],
    [260_096, 64],
  ],
  16: [
    [32_680, 2],
    [262_144, 4],
    [524_288, 8],
    [1_048_576, 16],
    [2_097_152, 32],
    [4_194_304, 64],
  ],
  32: [
    [532_480, 1],
    [16_777_216, 8],
    [33_554_432, 16],
    [67_108_864, 32],
    [MAX_SECTORS, 64],
  ],
};

/** The largest volume of each type where nobody asks for another. The same section: 4.1 MB and 512 MB. */
const UNASKED: Record<FatType, number> = { 12: 8400, 16: 1_048_576, 32: MAX_SECTORS };

/**
 * How many clusters make a volume FAT12, FAT16 or FAT32: nothing else does (FAT specification, "FAT Type
 * Determination"). As it advises, 16 away from the limits, where drivers are known to count wrong.
 */
const CLUSTERS: Record<FatType, { readonly least: number; readonly most: number }> = {
  12: { least: 1, most: 4084 - 16 },
  16: { least: 4085 + 16, most: 65_524 - 16 },
  32: { least: 65_525 + 16, most: 0x0fff_fff5 - 16 },
};

/** What the root directory of a hard disk has. The same section, and every version of DOS. */
export const ROOT_SLOTS = 512;

/** Tracks of 16 KiB and cylinders of 1 MiB divide what people ask for; BIOSes make up their own anyway. */
const HARD_DISK: Pick<Floppy, 'sectorsPerTrack' | 'heads' | 'media' | 'rootSlots'> = {
  sectorsPerTrack: 32,
  heads: 64,
  media: 0xf8,
  rootSlots: ROOT_SLOTS,
};

/** BPB_RootEntCnt has 16 bits, and it fills whole sectors. */
const MOST_ROOT_SLOTS = 65_520;

const TYPES: readonly FatType[] = [12, 16, 32];

function rows(wanted: FatType | undefined): TableRow[] {
  return (wanted === undefined ? TYPES : [wanted]).flatMap((type) =>
    TABLES[type].map(([upTo, sectorsPerCluster], i, table) => ({
      type,
      sectorsPerCluster,
      from: (table[i - 1]?.[0] ?? 0) + 1,
      upTo: wanted === undefined ? Math.min(upTo, UNASKED[type]) : upTo,
    })),
  );
}

/** All that there are, those with large clusters first. */
function otherRows(wanted: FatType | undefined): Row[] {
  return [64, 32, 16, 8, 4, 2, 1].flatMap((sectorsPerCluster) =>
    (wanted === undefined ? TYPES : [wanted]).map((type) => ({ type, sectorsPerCluster })),
  );
}

function shapeOf(
  { type, sectorsPerCluster }: Row,
  demand: Demand,
  mayEnlargeRoot: boolean,
  { rootSlots, sectorsPerTrack, heads, media }: typeof HARD_DISK,
): Shape {
  const enough = mayEnlargeRoot ? Math.min(Math.ceil(demand.rootSlots / 16) * 16, MOST_ROOT_SLOTS) : 0;
  return {
    type,
    sectorsPerCluster,
    reserved: type === 32 ? 32 : 1,
    rootSlots: type === 32 ? 0 : Math.max(rootSlots, enough),
    sectorsPerTrack,
    heads,
    media,
  };
}

function geometryOf(sectors: number, shape: Shape): Geometry {
  const { type, sectorsPerCluster, reserved } = shape;
  const left = sectors - reserved - rootSectors(shape);
  // The least number that has an entry for each cluster and two more, given that the tables take room from clusters:
  // sectorsPerTable * 4096 / type >= (left - 2 * sectorsPerTable) / sectorsPerCluster + 2
  const sectorsPerTable = Math.ceil(
    ((left + 2 * sectorsPerCluster) * type) / (4096 * sectorsPerCluster + 2 * type),
  );
  const clusters = Math.floor((left - 2 * sectorsPerTable) / sectorsPerCluster);
  return { ...shape, sectors, sectorsPerTable, clusters };
}

function sectorsFor(clusters: number, shape: Shape): number {
  const sectorsPerTable = Math.ceil(((clusters + 2) * shape.type) / 4096);
  return shape.reserved + 2 * sectorsPerTable + rootSectors(shape) + clusters * shape.sectorsPerCluster;
}

export function rootSectors({ rootSlots }: Pick<Geometry, 'rootSlots'>): number {
  return (rootSlots * SLOT) / SECTOR;
}

function clustersNeeded({ rootSlots, clusters, free }: Demand, { type, sectorsPerCluster }: Shape): number {
  const size = sectorsPerCluster * SECTOR;
  const root = type === 32 ? Math.ceil((rootSlots * SLOT) / size) : 0;
  return Math.max(clusters(size) + root + Math.ceil(free / size), CLUSTERS[type].least);
}

function fits(demand: Demand, geometry: Geometry): boolean {
  if (geometry.type !== 32 && geometry.rootSlots < demand.rootSlots) return false;
  return (
    geometry.clusters >= clustersNeeded(demand, geometry) && geometry.clusters <= CLUSTERS[geometry.type].most
  );
}
