import { SECTOR, type Geometry } from './geometry.js';

/** What a volume tells of itself besides its geometry. */
export interface Volume {
  /** 11 characters, padded with spaces. */
  readonly label: string;
  /** Serial number: 32 bits. */
  readonly serial: number;
  /** Sectors of the disk in front of the volume. */
  readonly start: number;
  /** The lowest free cluster; all from there on are free. */
  readonly firstFree: number;
}

/** The last two bytes of a boot sector. */
export const SIGNATURE = 0xaa55;

/** Where FAT32 has its root directory. */
export const ROOT_CLUSTER = 2;

/**
 * The sectors in front of the tables. FAT specification, "Boot Sector and BPB" and "FAT32 FSInfo Sector Structure and
 * Backup Boot Sector".
 */
export function reservedSectors(geometry: Geometry, volume: Volume): Uint8Array {
  const bytes = new Uint8Array(geometry.reserved * SECTOR);
  const boot = new DataView(bytes.buffer, 0, SECTOR);
  putParameters(boot, geometry, volume);
  if (geometry.type !== 32) {
    putIdentity(boot, 36, geometry, volume);
    return bytes;
  }
  putFat32Parameters(boot, geometry);
  putIdentity(boot, 64, geometry, volume);
  putFreeSpace(new DataView(bytes.buffer, FSINFO * SECTOR, SECTOR), geometry, volume);
  // Boot code may go on in the third sector: Windows looks for a signature.
  new DataView(bytes.buffer, 2 * SECTOR, SECTOR).setUint16(510, SIGNATURE, true);
  bytes.copyWithin(BACKUP * SECTOR, 0, 3 * SECTOR);
  return bytes;
}

const FSINFO = 1;
const BACKUP = 6;

/** "int 18h": not bootable, BIOS, try something else. If it comes back, "jmp $". */
const BOOT_CODE = [0xcd, 0x18, 0xeb, 0xfe];

function putParameters(boot: DataView, geometry: Geometry, volume: Volume): void {
  const codeAt = geometry.type === 32 ? 90 : 62;
  putBytes(boot, 0, [0xeb, codeAt - 2, 0x90]); // jmp to the code, nop
  putText(boot, 3, 'MSWIN4.1'); // what the specification advises: some drivers look at it
  boot.setUint16(11, SECTOR, true);
  boot.setUint8(13, geometry.sectorsPerCluster);
  boot.setUint16(14, geometry.reserved, true);
  boot.setUint8(16, 2); // tables
  boot.setUint16(17, geometry.rootSlots, true);
  const short = geometry.type !== 32 && geometry.sectors < 0x1_0000;
  boot.setUint16(19, short ? geometry.sectors : 0, true);
  boot.setUint8(21, geometry.media);
  boot.setUint16(22, geometry.type === 32 ? 0 : geometry.sectorsPerTable, true);
  boot.setUint16(24, geometry.sectorsPerTrack, true);
  boot.setUint16(26, geometry.heads, true);
  boot.setUint32(28, volume.start, true);
  boot.setUint32(32, short ? 0 : geometry.sectors, true);
  putBytes(boot, codeAt, BOOT_CODE);
  boot.setUint16(510, SIGNATURE, true);
}

function putFat32Parameters(boot: DataView, geometry: Geometry): void {
  boot.setUint32(36, geometry.sectorsPerTable, true);
  boot.setUint32(44, ROOT_CLUSTER, true);
  boot.setUint16(48, FSINFO, true);
  boot.setUint16(50, BACKUP, true);
}

function putIdentity(boot: DataView, at: number, geometry: Geometry, volume: Volume): void {
  boot.setUint8(at, geometry.media === HARD_DISK ? 0x80 : 0); // the BIOS's number for the first drive of its kind
  boot.setUint8(at + 2, 0x29); // the three fields below are there
  boot.setUint32(at + 3, volume.serial, true);
  putText(boot, at + 7, volume.label);
  putText(boot, at + 18, `FAT${geometry.type}   `);
}

const HARD_DISK = 0xf8;

function putFreeSpace(info: DataView, geometry: Geometry, volume: Volume): void {
  const end = geometry.clusters + 2;
  info.setUint32(0, 0x4161_5252, true);
  info.setUint32(484, 0x6141_7272, true);
  info.setUint32(488, end - volume.firstFree, true);
  info.setUint32(492, volume.firstFree < end ? volume.firstFree : UNKNOWN, true);
  info.setUint32(508, 0xaa55_0000, true);
}

const UNKNOWN = 0xffff_ffff;

function putText(view: DataView, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i));
}

function putBytes(view: DataView, at: number, bytes: readonly number[]): void {
  for (const [i, byte] of bytes.entries()) view.setUint8(at + i, byte);
}
