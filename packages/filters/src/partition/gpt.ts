import { NbdError } from '@nbd/protocol';
import { crc32 } from './crc32.js';
import type { Disk, Partition, Table } from './table.js';

/** Largest array of entries to read, in bytes: 64 times what partitioning tools make. */
const MOST_ENTRIES = 1 << 20;

/**
 * Reads the partitions of a GPT. UEFI specification, "GUID Partition Table (GPT) Disk Layout".
 * @param sectorSizes bytes; the one is taken for which there is a header
 * @throws NbdError EINVAL if neither the primary nor the backup table is whole
 */
export async function readGpt(disk: Disk, sectorSizes: readonly number[]): Promise<Table> {
  let fault = 'no header';
  for (const sectorSize of sectorSizes) {
    const primary = await readAt(disk, 1n, sectorSize);
    if (typeof primary !== 'string') return { kind: 'GPT', partitions: primary, problem: undefined };
    const backup = await readAt(disk, disk.size / BigInt(sectorSize) - 1n, sectorSize);
    if (typeof backup !== 'string') {
      const problem = `the primary GPT is damaged (${primary}): the backup at the end of the disk is used`;
      return { kind: 'GPT', partitions: backup, problem };
    }
    if (primary !== NO_HEADER) fault = primary;
  }
  throw new NbdError(
    'EINVAL',
    `the disk has a protective MBR, but no GPT that is whole: ${fault}, and none better at its end`,
  );
}

const NO_HEADER = 'no header';

/** The partitions of the table whose header is in a sector, or what is wrong with it. */
async function readAt(disk: Disk, sector: bigint, sectorSize: number): Promise<Partition[] | string> {
  const bytesPerSector = BigInt(sectorSize);
  const at = sector * bytesPerSector;
  if (at < bytesPerSector || at + bytesPerSector > disk.size) return NO_HEADER;
  const header = await disk.read(at, sectorSize);
  if (String.fromCharCode(...header.subarray(0, 8)) !== 'EFI PART') return NO_HEADER;

  const view = new DataView(header.buffer);
  const headerSize = view.getUint32(12, true);
  if (headerSize < 92 || headerSize > sectorSize) return `its header has ${headerSize} bytes`;
  const headerCrc = view.getUint32(16, true);
  view.setUint32(16, 0, true); // as which it counts in itself
  if (crc32(header.subarray(0, headerSize)) !== headerCrc) return 'the checksum of its header is wrong';
  if (view.getBigUint64(24, true) !== sector) return 'its header is of another place';

  const entries = view.getBigUint64(72, true) * bytesPerSector;
  const count = view.getUint32(80, true);
  const entrySize = view.getUint32(84, true);
  const length = count * entrySize;
  if (entrySize < 128 || length > MOST_ENTRIES) return `it has ${count} entries of ${entrySize} bytes`;
  if (entries + BigInt(length) > disk.size) return 'its entries are past the end of the disk';
  const table = await disk.read(entries, length);
  if (crc32(table) !== view.getUint32(88, true)) return 'the checksum of its entries is wrong';

  const partitions: Partition[] = [];
  for (let index = 0; index < count; index++) {
    const entry = new DataView(table.buffer, index * entrySize, 128);
    const isUnused = entry.getBigUint64(0, true) === 0n && entry.getBigUint64(8, true) === 0n;
    if (isUnused) continue;
    const first = entry.getBigUint64(32, true);
    const last = entry.getBigUint64(40, true);
    if (first > last) return `partition ${index + 1} reaches from sector ${first} to ${last}`;
    partitions.push({
      number: index + 1,
      start: first * bytesPerSector,
      length: (last - first + 1n) * bytesPerSector,
      isExtended: false,
    });
  }
  return partitions;
}
