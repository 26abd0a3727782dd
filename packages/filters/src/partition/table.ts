/** A disk to read partition tables from. */
export interface Disk {
  /** Bytes. */
  readonly size: bigint;
  read(offset: bigint, length: number): Promise<Uint8Array>;
}

export interface Partition {
  /** As Linux counts: MBR 1 to 4 and from 5 on the logical ones, GPT the place in the table. */
  readonly number: number;
  /** Bytes from the start of the disk. */
  readonly start: bigint;
  /** Bytes. */
  readonly length: bigint;
  /** It holds logical partitions, and is not one to use. */
  readonly isExtended: boolean;
}

export interface Table {
  readonly kind: 'GPT' | 'MBR';
  /** In the order of their numbers. */
  readonly partitions: readonly Partition[];
  /** What is wrong with the table, where partitions were found all the same. */
  readonly problem: string | undefined;
}

/** One of the four entries of an MBR, or of an EBR. */
export interface MbrEntry {
  readonly type: number;
  /** Sectors. What they are counted from depends on the entry. */
  readonly start: number;
  /** Sectors. */
  readonly length: number;
}

/** The entries of a sector that holds an MBR, unused ones (of type 0 or no length) included. */
export function mbrEntries(sector: Uint8Array): MbrEntry[] {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  return [446, 462, 478, 494].map((at) => ({
    type: view.getUint8(at + 4),
    start: view.getUint32(at + 8, true),
    length: view.getUint32(at + 12, true),
  }));
}

/** Whether an MBR says that a GPT describes the disk. UEFI specification, "Protective MBR"; Linux looks for the same. */
export function isProtective(mbr: Uint8Array): boolean {
  return mbrEntries(mbr).some(({ type }) => type === 0xee);
}
