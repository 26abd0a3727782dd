import { mbrEntries, type Disk, type MbrEntry, type Partition, type Table } from './table.js';

/** An extended partition's types: for CHS, for LBA, and Linux's own. */
const EXTENDED = [0x05, 0x0f, 0x85];

/** Most logical partitions to follow: a chain that was made up by somebody may be endless without a loop. */
const MOST_LOGICAL = 256;

/** Reads the partitions of an MBR, and the logical ones in its extended partition. */
export async function readMbr(disk: Disk, mbr: Uint8Array, sectorSize: number): Promise<Table> {
  const primary = mbrEntries(mbr).flatMap((entry, index) =>
    isUsed(entry) ? [partitionOf(index + 1, entry, 0, sectorSize)] : [],
  );
  const extended = mbrEntries(mbr).find((entry) => isUsed(entry) && EXTENDED.includes(entry.type));
  if (!extended) return { kind: 'MBR', partitions: primary, problem: undefined };
  const { logical, problem } = await readLogical(disk, extended, sectorSize);
  return { kind: 'MBR', partitions: [...primary, ...logical], problem };
}

/**
 * Follows the chain of extended boot records. Each has an entry for a logical partition, counted from that record, and
 * one for the next record, counted from the start of the extended partition.
 */
async function readLogical(
  disk: Disk,
  extended: MbrEntry,
  sectorSize: number,
): Promise<{ logical: Partition[]; problem: string | undefined }> {
  const logical: Partition[] = [];
  const seen = new Set<number>();
  let problem: string | undefined;
  for (let at: number | undefined = extended.start; at !== undefined && problem === undefined;) {
    problem = faultOfLink(at, seen, disk, extended, sectorSize);
    if (problem !== undefined) break;
    seen.add(at);
    const record: Uint8Array = await disk.read(BigInt(at) * BigInt(sectorSize), 512);
    if (record[510] !== 0x55 || record[511] !== 0xaa) {
      problem = `there is no extended boot record at sector ${at}, where the table says that one is`;
      break;
    }
    let next: number | undefined;
    for (const entry of mbrEntries(record)) {
      if (!isUsed(entry)) continue;
      if (EXTENDED.includes(entry.type)) next ??= extended.start + entry.start;
      else logical.push(partitionOf(5 + logical.length, entry, at, sectorSize));
    }
    at = next;
  }
  return { logical, problem };
}

function faultOfLink(
  at: number,
  seen: ReadonlySet<number>,
  disk: Disk,
  extended: MbrEntry,
  sectorSize: number,
): string | undefined {
  if (seen.has(at)) return `the chain of logical partitions comes back to sector ${at}`;
  if (seen.size === MOST_LOGICAL) return `there are more than ${MOST_LOGICAL} logical partitions`;
  const isInside = at - extended.start < extended.length;
  if (!isInside || BigInt(at + 1) * BigInt(sectorSize) > disk.size) {
    return `the chain of logical partitions leads out of the extended partition, to sector ${at}`;
  }
  return undefined;
}

function isUsed({ type, length }: MbrEntry): boolean {
  return type !== 0 && length !== 0;
}

function partitionOf(number: number, entry: MbrEntry, from: number, sectorSize: number): Partition {
  return {
    number,
    start: BigInt(from + entry.start) * BigInt(sectorSize),
    length: BigInt(entry.length) * BigInt(sectorSize),
    isExtended: EXTENDED.includes(entry.type),
  };
}
