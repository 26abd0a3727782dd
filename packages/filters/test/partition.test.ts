import type { BlockDevice } from '@nbd/protocol';
import type { Plugin } from '@nbd/plugin';
import { describe, expect, test } from 'vitest';
import { partition } from '../src/index.js';
import { crc32 } from '../src/partition/crc32.js';
import { bytesOf, checkFilter, disk, opened, request, SILENT, type DiskOptions } from './disks.js';

const SIZE = 16n << 20n;

type Entry = [type: number, start: number, length: number];

/** A sector with four entries and 55 AA. */
function bootRecord(...entries: Entry[]): Uint8Array {
  const sector = new Uint8Array(512);
  const view = new DataView(sector.buffer);
  entries.forEach(([type, start, length], index) => {
    view.setUint8(446 + 16 * index + 4, type);
    view.setUint32(446 + 16 * index + 8, start, true);
    view.setUint32(446 + 16 * index + 12, length, true);
  });
  view.setUint16(510, 0xaa55, true);
  return sector;
}

/** A disk with these bytes at these sectors, rewritten as whole blocks of 4096. */
async function diskWith(
  sectors: Readonly<Record<number, Uint8Array>>,
  { sectorSize = 512, ...options }: DiskOptions & { sectorSize?: number } = {},
): Promise<Plugin> {
  const inner = await disk(SIZE, options);
  const device = await inner.open(request);
  const image = new Uint8Array(Number(SIZE));
  for (const [sector, bytes] of Object.entries(sectors)) image.set(bytes, Number(sector) * sectorSize);
  for (let at = 0; at < image.length; at += 1 << 20) {
    await device.write!(BigInt(at), image.subarray(at, at + (1 << 20)));
  }
  return inner;
}

const openPartition = (words: string, inner: Plugin): Promise<BlockDevice> => opened(partition, words, inner);

describe('MBR', () => {
  const TABLE = {
    0: bootRecord([0x83, 2048, 4096], [0, 0, 0], [0x05, 8192, 16_384], [0x07, 30_000, 1]),
    2048: new Uint8Array(4).fill(1),
    // The logical ones: the first entry counts from its record, the second from the extended partition.
    8192: bootRecord([0x83, 63, 100], [0x05, 1000, 2000]),
    [8192 + 63]: new Uint8Array(4).fill(5),
    [8192 + 1000]: bootRecord([0x83, 1, 200]),
    [8192 + 1001]: new Uint8Array(4).fill(6),
    30_000: new Uint8Array(4).fill(4),
  };

  test.each([
    [1, 4096n],
    [4, 1n],
    [5, 100n],
    [6, 200n],
  ])('partition %d is found', async (number, sectors) => {
    const device = await openPartition(String(number), await diskWith(TABLE));
    expect(device.size).toBe(sectors * 512n);
    expect(await bytesOf(device, 0n, 4)).toEqual(new Uint8Array(4).fill(number));
  });

  test('a partition that is not there is answered with those that are', async () => {
    const inner = await diskWith(TABLE);
    await expect(openPartition('7', inner)).rejects.toMatchObject({
      code: 'ENOENT',
      message:
        'there is no partition 7: the disk has an MBR with the partitions ' +
        '1 (2 MiB), 4 (512 B), 5 (50 KiB), 6 (100 KiB)',
    });
    await expect(openPartition('2', inner)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(openPartition('3', inner)).rejects.toThrow('partition 3 is an extended one');
    await expect(openPartition('0', inner)).rejects.toThrow('partition=0 is less than 1');
  });

  test.each([
    [
      'comes back',
      { [8192 + 1000]: bootRecord([0x83, 1, 200], [0x05, 0, 100]) },
      'comes back to sector 8192',
    ],
    ['leads out', { [8192 + 1000]: bootRecord([0x83, 1, 200], [0x05, 99_999, 9]) }, 'to sector 108191'],
    ['breaks off', { [8192 + 1000]: new Uint8Array(512) }, 'no extended boot record at sector 9192'],
  ])('a chain of logical partitions that %s ends there', async (_what, change, problem) => {
    const warnings: string[] = [];
    const inner = await diskWith({ ...TABLE, ...change });
    const filter = await partition.fromArguments(['5'], {
      log: { ...SILENT, warn: (line) => warnings.push(line) },
    });
    expect((await filter(inner).open(request)).size).toBe(51_200n);
    expect(warnings).toEqual([expect.stringContaining(problem)]);
    await expect(openPartition('9', inner)).rejects.toThrow(problem);
  });

  test('a chain without an end is given up', async () => {
    const records: Record<number, Uint8Array> = { 0: bootRecord([0x05, 1, 30_000]) };
    for (let n = 0; n < 1000; n++) records[1 + 2 * n] = bootRecord([0x83, 1, 1], [0x0f, 2 * (n + 1), 2]);
    const inner = await diskWith(records);
    expect((await openPartition('260', inner)).size).toBe(512n);
    await expect(openPartition('261', inner)).rejects.toThrow('more than 256 logical partitions');
  });

  test('a partition keeps the contract of a device', async () => {
    const inner = await diskWith(TABLE, { late: true });
    await checkFilter(await partition.create({ partition: 1 }), inner);
  }, 60_000);

  test('a partition that is not all there is refused', async () => {
    const inner = await diskWith({ 0: bootRecord([0x83, 2048, 0xffff_ffff]) });
    await expect(openPartition('1', inner)).rejects.toThrow(
      /^partition 1 is .* the disk has only 16777216 bytes/,
    );
  });

  test('sectors of 4096 bytes are those of a disk that takes no less, or are told', async () => {
    const sectors = { 0: bootRecord([0x83, 256, 10]), 256: new Uint8Array(4).fill(1) };
    const inner = await diskWith(sectors, { sectorSize: 4096, minimumBlock: 4096, late: true });
    expect(await bytesOf(await openPartition('1', inner), 0n, 4096)).toMatchObject({ 0: 1, 3: 1, 4: 0 });
    const plain = await diskWith(sectors, { sectorSize: 4096 });
    expect((await openPartition('1 sector-size=4096', plain)).size).toBe(40_960n);
    await expect(openPartition('1 sector-size=1000', plain)).rejects.toThrow('neither 512 nor 4096');
  });

  test('a disk without a table says so', async () => {
    await expect(openPartition('1', await disk(SIZE))).rejects.toThrow('the disk has no partition table');
    await expect(openPartition('1', await disk(100n))).rejects.toThrow('the disk has no partition table');
  });
});

describe.each([512, 4096])('GPT with sectors of %d', (sectorSize) => {
  const LAST = Number(SIZE) / sectorSize - 1;

  /** The sectors of a GPT with two partitions: the table in the second place is unused. */
  function gpt(change: (view: DataView, entries: DataView) => void = () => undefined) {
    const entries = new DataView(new ArrayBuffer(128 * 128));
    [256, undefined, 1024].forEach((first, index) => {
      if (first === undefined) return;
      entries.setBigUint64(128 * index, 0x1234n, true);
      entries.setBigUint64(128 * index + 32, BigInt(first), true);
      entries.setBigUint64(128 * index + 40, BigInt(first) + 9n, true);
    });
    const table = new Uint8Array(entries.buffer);
    const header = (at: number, tableAt: number): Uint8Array => {
      const sector = new Uint8Array(sectorSize);
      const view = new DataView(sector.buffer);
      sector.set(new TextEncoder().encode('EFI PART'));
      view.setUint32(12, 92, true);
      view.setBigUint64(24, BigInt(at), true);
      view.setBigUint64(72, BigInt(tableAt), true);
      view.setUint32(80, 128, true);
      view.setUint32(84, 128, true);
      view.setUint32(88, crc32(table), true);
      if (at === 1) change(view, entries);
      view.setUint32(16, crc32(sector.subarray(0, 92)), true);
      return sector;
    };
    const backupTable = LAST - Math.ceil(table.length / sectorSize);
    const backup = header(LAST, backupTable);
    const backupEntries = table.slice();
    return {
      0: bootRecord([0xee, 1, 0xffff_ffff]),
      1: header(1, 2),
      2: table,
      256: new Uint8Array(4).fill(1),
      1024: new Uint8Array(4).fill(3),
      [backupTable]: backupEntries,
      [LAST]: backup,
    };
  }

  test.each([1, 3])('partition %d is found', async (number) => {
    const device = await openPartition(String(number), await diskWith(gpt(), { sectorSize }));
    expect(device.size).toBe(BigInt(10 * sectorSize));
    expect(await bytesOf(device, 0n, 4)).toEqual(new Uint8Array(4).fill(number));
  });

  test('a partition that is not there is answered with those that are', async () => {
    await expect(openPartition('2', await diskWith(gpt(), { sectorSize }))).rejects.toThrow(
      /^there is no partition 2: the disk has a GPT with the partitions 1 \(.*\), 3 \(.*\)$/,
    );
  });

  test.each([
    ['no header', (sectors: Record<number, Uint8Array>) => sectors[1]!.fill(0), undefined],
    ['a damaged header', (sectors) => (sectors[1]![40]! ^= 1), 'the checksum of its header is wrong'],
    ['damaged entries', (sectors) => (sectors[2]![40]! ^= 1), 'the checksum of its entries is wrong'],
  ] as [string, (sectors: Record<number, Uint8Array>) => unknown, string | undefined][])(
    'with %s the backup at the end of the disk is used, and without that none',
    async (_what, damage, fault) => {
      const sectors: Record<number, Uint8Array> = gpt();
      damage(sectors);
      const warnings: string[] = [];
      const log = { ...SILENT, warn: (line: string) => warnings.push(line) };
      const filter = await partition.fromArguments(['1'], { log });
      const device = await filter(await diskWith(sectors, { sectorSize })).open(request);
      expect(await bytesOf(device, 0n, 4)).toEqual(new Uint8Array(4).fill(1));
      expect(warnings).toEqual([expect.stringContaining('the backup at the end of the disk is used')]);

      sectors[LAST]!.fill(0);
      await expect(openPartition('1', await diskWith(sectors, { sectorSize }))).rejects.toThrow(
        `the disk has a protective MBR, but no GPT that is whole${fault === undefined ? '' : `: ${fault}`}`,
      );
    },
  );

  test.each([
    [
      'a table of gigabytes',
      (view: DataView) => {
        view.setUint32(80, 0xffff_ffff, true);
      },
    ],
    [
      'entries past the end',
      (view: DataView) => {
        view.setBigUint64(72, 2n ** 63n, true);
      },
    ],
    [
      'a header of no size',
      (view: DataView) => {
        view.setUint32(12, 0, true);
      },
    ],
    [
      'entries of no size',
      (view: DataView) => {
        view.setUint32(84, 0, true);
      },
    ],
  ])('%s is not believed', async (_what, change) => {
    const device = await openPartition('1', await diskWith(gpt(change), { sectorSize }));
    expect(device.size).toBe(BigInt(10 * sectorSize));
  });
});
