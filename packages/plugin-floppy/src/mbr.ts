import { SIGNATURE } from './boot.js';
import { SECTOR, type Geometry } from './geometry.js';

/** Where the partition starts, in sectors: 1 MiB, as partitioning tools have it. */
export const PARTITION_START = 2048;

/**
 * A master boot record with one partition, for the volume from {@link PARTITION_START} on.
 * @param serial tells this disk from others: 32 bits.
 */
export function masterBootRecord(geometry: Geometry, serial: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  const view = new DataView(bytes.buffer);
  // No boot loader: "int 18h" tells the BIOS to try something else.
  view.setUint16(0, 0x18cd, true);
  view.setUint16(2, 0xfeeb, true);
  view.setUint32(440, serial, true);
  const end = PARTITION_START + geometry.sectors;
  bytes.set(cylinderHeadSector(PARTITION_START, geometry), 447);
  view.setUint8(450, partitionType(geometry));
  bytes.set(cylinderHeadSector(end - 1, geometry), 451);
  view.setUint32(454, PARTITION_START, true);
  view.setUint32(458, geometry.sectors, true);
  view.setUint16(510, SIGNATURE, true);
  return bytes;
}

/** As DOS, which goes by the cylinder, and Windows, which does not, number them. */
function partitionType({ type, sectors }: Geometry): number {
  if (type === 12) return 0x01;
  if (type === 32) return 0x0c;
  return sectors < 0x1_0000 ? 0x04 : 0x0e;
}

/** Three bytes: head; sector from 1 on, with bits 8 and 9 of the cylinder above it; the rest of the cylinder. */
function cylinderHeadSector(sector: number, { sectorsPerTrack, heads }: Geometry): readonly number[] {
  const track = Math.floor(sector / sectorsPerTrack);
  const cylinder = Math.floor(track / heads);
  // Beyond what fits in, this says "look at the sector numbers".
  if (cylinder > 1023) return [0xfe, 0xff, 0xff];
  return [track % heads, (sector % sectorsPerTrack) + 1 + ((cylinder >> 8) << 6), cylinder & 0xff];
}
