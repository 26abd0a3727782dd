/** How a floppy is laid out; counts are of sectors of 512 bytes. */
export interface Floppy {
  readonly sectors: number;
  readonly sectorsPerTrack: number;
  readonly heads: number;
  readonly sectorsPerCluster: number;
  readonly rootSlots: number;
  /** The media descriptor. */
  readonly media: number;
}

/** The sizes that floppies come in, as DOS formats them. How large the table is follows from the rest. */
const FLOPPIES: readonly Floppy[] = [
  { sectors: 320, sectorsPerTrack: 8, heads: 1, sectorsPerCluster: 1, rootSlots: 64, media: 0xfe },
  { sectors: 360, sectorsPerTrack: 9, heads: 1, sectorsPerCluster: 1, rootSlots: 64, media: 0xfc },
  { sectors: 640, sectorsPerTrack: 8, heads: 2, sectorsPerCluster: 2, rootSlots: 112, media: 0xff },
  { sectors: 720, sectorsPerTrack: 9, heads: 2, sectorsPerCluster: 2, rootSlots: 112, media: 0xfd },
  { sectors: 1440, sectorsPerTrack: 9, heads: 2, sectorsPerCluster: 2, rootSlots: 112, media: 0xf9 },
  { sectors: 2400, sectorsPerTrack: 15, heads: 2, sectorsPerCluster: 1, rootSlots: 224, media: 0xf9 },
  { sectors: 2880, sectorsPerTrack: 18, heads: 2, sectorsPerCluster: 1, rootSlots: 224, media: 0xf0 },
  { sectors: 5760, sectorsPerTrack: 36, heads: 2, sectorsPerCluster: 2, rootSlots: 240, media: 0xf0 },
];

/** The floppy that has so many sectors, if there is one. */
export function floppyOf(sectors: number): Floppy | undefined {
  return FLOPPIES.find((floppy) => floppy.sectors === sectors);
}
