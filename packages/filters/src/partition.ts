import { defineFilter, integer, liftDevice } from '@nbd/plugin';
import { formatSize, NbdError, type BlockDevice } from '@nbd/protocol';
import { readGpt } from './partition/gpt.js';
import { readMbr } from './partition/mbr.js';
import { isProtective, type Partition, type Table } from './partition/table.js';
import { slice } from './slice.js';
import { readUnaligned } from './unaligned-reads.js';

/** One partition of a disk, by the number that Linux gives it. */
export default defineFilter({
  name: 'partition',
  description: 'A partition as a disk (MBR with logical partitions, or GPT)',
  parameters: {
    partition: integer({ required: true, positional: true, min: 1, help: 'its number, as on Linux' }),
    'sector-size': integer({
      min: 512,
      max: 4096,
      help: 'bytes of a sector: 512 or 4096 (default: what the table shows)',
    }),
  },
  examples: ['--filter=partition,1 plugin-file disk.img'],

  setup({ partition, 'sector-size': sectorSize }, { log }) {
    if (sectorSize !== undefined && sectorSize !== 512 && sectorSize !== 4096) {
      throw new NbdError('EINVAL', `sector-size=${sectorSize} is neither 512 nor 4096`);
    }
    return liftDevice(async (device) => {
      const table = await readTable(device, sectorSize);
      if (table.problem !== undefined) log.warn(table.problem);
      const { start, length } = find(table, partition);
      return slice(device, start, length, `partition ${partition}`);
    });
  },
});

async function readTable(device: BlockDevice, sectorSize: number | undefined): Promise<Table> {
  const readable = readUnaligned(device);
  const disk = {
    size: device.size,
    async read(offset: bigint, length: number): Promise<Uint8Array> {
      const bytes = new Uint8Array(length);
      await readable.read(offset, bytes);
      return bytes;
    },
  };
  const first = device.size < 512n ? new Uint8Array(512) : await disk.read(0n, 512);
  if (first[510] !== 0x55 || first[511] !== 0xaa) {
    throw new NbdError('EINVAL', 'the disk has no partition table: its first sector does not end with 55 AA');
  }
  if (isProtective(first)) return readGpt(disk, sectorSize === undefined ? [512, 4096] : [sectorSize]);
  // Nothing in an MBR tells how long a sector is; of a disk that takes no less, it is known.
  return readMbr(disk, first, sectorSize ?? (device.info?.blockSize?.minimum === 4096 ? 4096 : 512));
}

function find({ kind, partitions, problem }: Table, number: number): Partition {
  const found = partitions.find((partition) => partition.number === number);
  if (found && !found.isExtended) return found;
  if (found) {
    throw new NbdError(
      'EINVAL',
      `partition ${number} is an extended one, which holds others: choose one of ${listed(partitions)}`,
    );
  }
  const there = partitions.length === 0 ? 'no partitions' : `the partitions ${listed(partitions)}`;
  const why = problem === undefined ? '' : ` (${problem})`;
  throw new NbdError(
    'ENOENT',
    `there is no partition ${number}: the disk has ${kind === 'MBR' ? 'an MBR' : 'a GPT'} with ${there}${why}`,
  );
}

function listed(partitions: readonly Partition[]): string {
  return partitions
    .filter(({ isExtended }) => !isExtended)
    .map(({ number, length }) => `${number} (${formatSize(length)})`)
    .join(', ');
}
