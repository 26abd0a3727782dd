import { createHash } from 'node:crypto';
import type { Log } from '@nbd/plugin';
import { checkDevice } from '@nbd/plugin/testing';
import { ExtentFlag, type BlockDevice } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import sparseRandom from '../src/index.js';

const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;
const MiB = 1n << 20n;

async function open(words: string, log?: Partial<Log>): Promise<BlockDevice> {
  const silent: Log = { warn: () => undefined, info: () => undefined, debug: () => undefined };
  const plugin = await sparseRandom.fromArguments(words.split(' '), { log: { ...silent, ...log } });
  return plugin.open({ exportName: '', readOnly: false });
}

async function read(device: BlockDevice, offset: bigint, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length, 0xee);
  await device.read(offset, into);
  return into;
}

interface Extent {
  readonly offset: bigint;
  readonly length: bigint;
  readonly flags: number;
}

/** All extents from `offset` on, those of the same kind joined. */
async function extentsOf(device: BlockDevice, offset = 0n): Promise<Extent[]> {
  const extents: Extent[] = [];
  for (let at = offset; at < device.size;) {
    await device.extents!(at, device.size - at, {
      add(length, flags) {
        const last = extents.at(-1);
        if (last?.flags === flags) extents.push({ ...extents.pop()!, length: last.length + length });
        else extents.push({ offset: at, length, flags });
        at += length;
        return true;
      },
    });
  }
  return extents;
}

async function hashOf(device: BlockDevice, chunk: number): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0n; offset < device.size; offset += BigInt(chunk)) {
    const left = device.size - offset;
    hash.update(await read(device, offset, left < chunk ? Number(left) : chunk));
  }
  return hash.digest('hex');
}

function hashOfMap(extents: readonly Extent[]): string {
  const lines = extents.map(({ offset, length, flags }) => `${offset} ${length} ${flags}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}

describe('the disk is that of nbdkit 1.32', { timeout: 60_000 }, () => {
  // nbdkit sparse-random … --run 'nbdcopy "$uri" - | sha256sum'
  test.each([
    [
      '40M seed=1 percent=50 runlength=64K',
      '597624e222c57ecc13a8e1467c0cdd71e3db20014aebc2457617a45f50a21d19',
    ],
    [
      '40M seed=1 percent=50 runlength=65536 random-content=true',
      '8704469adb6e2adbcdda2bb169d1a52e4c31d5f19fd22b89440254c884cc80f2',
    ],
    [
      '1000001 seed=0 percent=30 runlength=10000 random-content=true',
      '51af2344bc55dd7bf069ebef2c31388e9b9b1c4feea80897a52b3d6870883a0f',
    ],
    [
      '300M seed=4294967295 percent=10 runlength=1000000',
      '3590727ad8c1e991df4519a439165cd03fb9b13152181a3af95d111c29d2112a',
    ],
    [
      '100M seed=7 percent=90 runlength=4k',
      'a6c437bf066c6aa22baee1792956202b4b0994161102aca0d9252a754ab5e9ff',
    ],
    [
      '100M seed=7 percent=60 runlength=5000',
      '5aac976fd94bf1efbc0c95b3c87d713bfce631a30a23e052a256b1cd58278f63',
    ],
    ['1 seed=11 percent=100', '2ea970ff63aec5d7a014ca6447ec743d3ba37450b85ebdcbb582b089b0194fa2'],
    [
      '300M seed=2 percent=99.9 runlength=123456',
      'a563cefd714e4df18d0dfe76794a586057ebf6871430f4791246111d5e6c150d',
    ],
  ])('%s', async (words, sha256) => {
    expect(await hashOf(await open(words), 1_000_000)).toBe(sha256);
  });

  // nbdkit sparse-random … --run 'nbdinfo --map "$uri"' | awk '{print $1,$2,$3}' | sha256sum
  test.each([
    ['1T seed=1', '491b3b21d338de97462bfedcea7224f2b37a3ea5095ca722663eeaeffad0f370'],
    ['64G seed=3 percent=50', '0239a38a6ff5cf70f83bac6ee98e70d74767af7751cf951b5a6991cfd5166040'],
    [
      '64G seed=3 percent=30 runlength=1G',
      'c8f83fa47ed64f1bbd50d0c9bcc8182a50b62cad92513d807b44ee0c91a83b80',
    ],
    [
      '256M seed=3 percent=75 runlength=5000',
      '6f233286849369d319e4d0843a58ffa829d0bdb0c729aec8b48f5607a75201ba',
    ],
  ])('map of %s', async (words, sha256) => {
    expect(hashOfMap(await extentsOf(await open(words)))).toBe(sha256);
  });

  // Of the same map of 16T, the extents that start in the last tebibyte.
  test('map of the end of 16T, without what is before', async () => {
    const [, ...whole] = await extentsOf(await open('16T seed=1'), 15n << 40n);
    expect(hashOfMap(whole)).toBe('1210be7b520519296cd0c97eed3a519ecef5e40e53680f8c7d9bf1c85801a14e');
  });
});

describe.each([
  '0',
  '1',
  '4095',
  '4097',
  '1000001 percent=30 runlength=10000',
  '100M percent=20 runlength=100k',
  '1T runlength=1M',
  '7E',
  '9223372036854775807 percent=90',
  '1T percent=0',
  '1T percent=100',
])('%s', { timeout: 60_000 }, (words) => {
  test.each(['false', 'true'])('keeps the contract of a device, random-content=%s', async (random) => {
    const device = await open(`${words} random-content=${random}`);
    // Only what is there already can be written.
    await checkDevice({ ...device, info: { ...device.info, readOnly: true } });
  });

  test('takes what it gives, in pieces of any size', async () => {
    const device = await open(words);
    const offset = fc.bigInt({ min: 0n, max: device.size });
    await fc.assert(
      fc.asyncProperty(offset, fc.nat(100_000), async (offset, length) => {
        const left = device.size - offset;
        const bytes = await read(device, offset, left < length ? Number(left) : length);
        await device.write!(offset, bytes, { fua: true });
      }),
    );
  });
});

describe('a write that differs', { timeout: 60_000 }, () => {
  const words = '1G seed=1 percent=50 runlength=100k';

  test.each([`${words} random-content=false`, `${words} random-content=true`])(
    'is refused, and the first wrong byte is logged: %s',
    async (words) => {
      const lines: string[] = [];
      const device = await open(words, { warn: (line) => lines.push(line) });
      await fc.assert(
        fc.asyncProperty(
          fc.nat(2 ** 30 - 500_000),
          fc.integer({ min: 1, max: 500_000 }),
          fc.nat(499_999),
          fc.integer({ min: 1, max: 255 }),
          async (start, length, place, change) => {
            const offset = BigInt(start);
            const bytes = await read(device, offset, length);
            const wrong = place % length;
            const expected = bytes[wrong]!;
            bytes[wrong] = expected ^ change;
            if (wrong + 7 < length) bytes[wrong + 7]! ^= 1;
            lines.length = 0;

            const at = offset + BigInt(wrong);
            expect(() => device.write!(offset, bytes)).toThrow(
              expect.objectContaining({ code: 'EIO', offset: at }),
            );
            expect(lines).toEqual([
              `plugin-sparse-random: write of ${length} bytes at offset ${offset}: the byte at offset ${at} ` +
                `should be ${hex(expected)}, but is ${hex(bytes[wrong])}`,
            ]);
          },
        ),
      );
    },
  );

  test('leaves the disk as it was', async () => {
    const device = await open('10M seed=1 percent=100');
    const before = await read(device, 0n, 10_000);
    expect(() => device.write!(0n, Buffer.alloc(10_000))).toThrow(expect.objectContaining({ code: 'EIO' }));
    expect(await read(device, 0n, 10_000)).toEqual(before);
  });
});

describe('zero and trim', () => {
  test('succeed in holes, and fail where there is data', async () => {
    const lines: string[] = [];
    const device = await open('1G seed=1 percent=30 runlength=1M', { warn: (line) => lines.push(line) });
    const extents = await extentsOf(device);
    const hole = extents.find(({ flags }) => flags === HOLE)!;
    const end = hole.offset + hole.length;
    const data = extents.find(({ offset }) => offset === end)!;
    for (const command of ['zero', 'trim'] as const) {
      await device[command]!(hole.offset, hole.length);
      await device[command]!(hole.offset + 1n, hole.length - 1n);
      await device[command]!(end - 1n, 1n);
      lines.length = 0;
      for (const [offset, length, at] of [
        [hole.offset, hole.length + 1n, end],
        [end + 5n, 1n, end + 5n],
        [end + data.length - 1n, 10n, end + data.length - 1n],
        [0n, device.size, end],
      ] as const) {
        expect(() => device[command]!(offset, length)).toThrow(
          expect.objectContaining({ code: 'EIO', offset: at }),
        );
      }
      expect(lines).toHaveLength(4);
      expect(lines[0]).toBe(
        `plugin-sparse-random: ${command} of ${hole.length + 1n} bytes at offset ${hole.offset}: ` +
          `there is data at offset ${end}`,
      );
    }
  });

  test('a fast zero of data is not supported, rather than wrong', async () => {
    const lines: string[] = [];
    const device = await open('1G percent=100', { warn: (line) => lines.push(line) });
    expect(() => device.zero!(0n, 4096n, { fastZero: true })).toThrow(
      expect.objectContaining({ code: 'ENOTSUP' }),
    );
    expect(lines).toEqual([]);
    await (
      await open('1G percent=0')
    ).zero!(0n, 1n << 30n, { fastZero: true });
  });

  test('of terabytes lets other work happen', async () => {
    const device = await open('7E seed=1 percent=0.000001 runlength=1T');
    let turns = 0;
    const count = () => {
      turns++;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    await device.zero!(0n, 256n << 30n);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThan(10);
  });
});

test('a read tells where the holes are', async () => {
  const device = await open('100M seed=1 percent=50 runlength=100k');
  const holes: { offset: bigint; length: bigint; flags: number }[] = [];
  const into = Buffer.alloc(Number(100n * MiB) - 10);
  await device.read(5n, into, {
    holes: { add: (offset, length) => holes.push({ offset, length, flags: HOLE }) },
  });
  const expected = (await extentsOf(device)).filter(({ flags }) => flags === HOLE);
  expect(expected[0]!.offset).toBe(0n);
  expect(holes[0]).toEqual({ ...expected[0], offset: 5n, length: expected[0]!.length - 5n });
  expect(holes.slice(1, -1)).toEqual(expected.slice(1, -1));
});

test('a query of the extents is cut where it would take long', async () => {
  const device = await open('7E seed=1');
  let covered = 0n;
  await device.extents!(1n << 60n, device.size - (1n << 60n), {
    add: (length) => (covered += length) > 0,
  });
  expect(covered).toBeGreaterThanOrEqual(4n << 30n);
  expect(covered).toBeLessThan(5n << 30n);
});

describe('parameters', () => {
  test('without a seed one is drawn, and said', async () => {
    const said: string[] = [];
    const first = await open('1M percent=100', { info: (line) => said.push(line) });
    const [, seed] = /seed=(\d+)/.exec(said[0]!)!;
    expect(said).toHaveLength(1);
    const again = await open(`1M percent=100 seed=${seed!}`, { info: (line) => said.push(line) });
    expect(said).toHaveLength(1);
    expect(await hashOf(again, 65_536)).toBe(await hashOf(first, 65_536));
    expect(await hashOf(await open('1M percent=100'), 65_536)).not.toBe(await hashOf(first, 65_536));
  });

  test('where it takes long to find out what is at a place, it is said', async () => {
    const said: string[] = [];
    const info = (line: string) => said.push(line);
    for (const words of [
      '7E seed=1',
      '900G seed=1 percent=50',
      '7E seed=1 percent=50 runlength=4k',
      '7E seed=1 percent=0',
    ]) {
      await open(words, { info });
    }
    expect(said).toEqual([]);
    await open('16T seed=1 percent=50', { info });
    await open('7E seed=1 runlength=1T', { info });
    expect(said).toEqual([
      expect.stringContaining('about 16 TiB before'),
      expect.stringContaining('about 1.1 TiB before'),
    ]);
  });

  test.each([
    ['', 'size'],
    ['1M seed=-1', 'seed'],
    ['1M seed=4294967296', 'seed'],
    ['1M percent=100.1', 'percent'],
    ['1M percent=nan', 'percent'],
    ['1M runlength=0', 'runlength'],
    ['8E', 'size'],
  ])('%s is refused', async (words, name) => {
    await expect(open(words)).rejects.toMatchObject({
      code: 'EINVAL',
      message: expect.stringContaining(name) as string,
    });
  });
});

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
