import { MAX_DEVICE_SIZE } from '@nbd/protocol';
import type { BlockDevice, BlockSize } from '@nbd/protocol';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { checkDevice } from '../../src/testing/index.js';
import type { Blocks } from './sparse-disk.js';
import { SparseDisk } from './sparse-disk.js';

// Every check is thousands of calls: on a busy machine that takes a while.
vi.setConfig({ testTimeout: 30_000 });

const sizes = [0n, 1n, 511n, 4096n, 65537n, 1n << 20n, (1n << 32n) + 5n, 1n << 53n, MAX_DEVICE_SIZE];

test.each(sizes)('a sparse disk of %i bytes passes, with any seed', async (size) => {
  for (let seed = 0; seed < 5; seed++) await checkDevice(new SparseDisk(size), { seed });
});

test('the seed may be any number of 32 bits', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) =>
      checkDevice(new SparseDisk(100_000n), { seed, rounds: 10 }),
    ),
    { numRuns: 30 },
  );
});

test('a disk of the largest size takes less than a second of computing', async () => {
  const before = process.cpuUsage();
  await checkDevice(new SparseDisk(MAX_DEVICE_SIZE));
  const { user, system } = process.cpuUsage(before);
  expect(user + system).toBeLessThan(1e6);
});

test.each<BlockSize>([
  { minimum: 512, preferred: 4096, maximum: 4096 },
  { minimum: 4096, preferred: 4096, maximum: 12_288 },
  { minimum: 65536, preferred: 65536, maximum: 1 << 20 },
  { minimum: 1, preferred: 512, maximum: 1000 },
  { minimum: 512, preferred: 512, maximum: 2 ** 32 - 1 },
])('a disk gets only requests that its block size allows: %j', async (blockSize) => {
  const { minimum, maximum } = blockSize;
  const size = (1n << 20n) + 700n;
  let longest = 0;
  const checked = (offset: bigint, length: bigint) => {
    const aligned = offset % BigInt(minimum) === 0n && length % BigInt(minimum) === 0n;
    if (!aligned || length < 1n || offset + length > size)
      throw new Error(`asked for ${length} at ${offset}`);
  };
  class Strict extends SparseDisk {
    override read(...[offset, into, options]: Parameters<SparseDisk['read']>): void {
      checked(offset, BigInt(into.length));
      longest = Math.max(longest, into.length);
      super.read(offset, into, options);
    }
    override write(offset: bigint, from: Uint8Array): void {
      checked(offset, BigInt(from.length));
      longest = Math.max(longest, from.length);
      super.write(offset, from);
    }
    override zero(...[offset, length, options]: Parameters<SparseDisk['zero']>): void {
      checked(offset, length);
      super.zero(offset, length, options);
    }
    override trim(offset: bigint, length: bigint): void {
      checked(offset, length);
      super.trim(offset, length);
    }
    override extents(...[offset, length, sink]: Parameters<SparseDisk['extents']>): void {
      checked(offset, length);
      // Extents are multiples of the minimum as well: those of blocks are cut to units that are all zeroes or all data.
      if (minimum <= 4096) super.extents(offset, length, sink);
      else sink.add(length, 0);
    }
  }
  for (let seed = 0; seed < 5; seed++) await checkDevice(new Strict(size, { blockSize }), { seed });
  expect(longest).toBeLessThanOrEqual(maximum);
  expect(longest).toBeGreaterThan(0.9 * Math.min(maximum, 32_768));
});

test('a read-only disk is not written to', async () => {
  class ReadOnly extends SparseDisk {
    override write(): void {
      throw new Error('written to');
    }
    override zero(): void {
      throw new Error('zeroed');
    }
    override trim(): void {
      throw new Error('trimmed');
    }
  }
  const disk = new ReadOnly(1n << 20n, { readOnly: true });
  disk.blocks.set(3n, new Uint8Array(4096).fill(7));
  await checkDevice(disk);
  await checkDevice({ size: 1000n, read: (_offset, into) => void into.fill(1) });
});

test('an asynchronous disk, whose calls settle out of order, passes', async () => {
  class Asynchronous extends SparseDisk {
    turn = 0;
    async later(action: () => unknown): Promise<void> {
      if (this.turn++ % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      else await Promise.resolve();
      action();
    }
  }
  const disk = new Asynchronous(200_000n);
  const device: BlockDevice = {
    size: disk.size,
    info: disk.info,
    read: (offset, into, options) =>
      disk.later(() => {
        disk.read(offset, into, options);
      }),
    write: (offset, from) =>
      disk.later(() => {
        disk.write(offset, from);
      }),
    zero: (offset, length, options) =>
      disk.later(() => {
        disk.zero(offset, length, options);
      }),
    trim: (offset, length) =>
      disk.later(() => {
        disk.trim(offset, length);
      }),
    extents: (offset, length, sink) =>
      disk.later(() => {
        disk.extents(offset, length, sink);
      }),
    flush: () => disk.later(() => undefined),
    close: () => disk.later(() => undefined),
  };
  await checkDevice(device);
});

test('a disk that may be open several times is, all are closed, and they share their content', async () => {
  const blocks: Blocks = new Map();
  let open = 0;
  let most = 0;
  let closed = 0;
  await checkDevice(() => {
    most = Math.max(most, ++open);
    const disk = new SparseDisk(1n << 40n, { multiConn: true }, blocks);
    let once = true;
    disk.close = () => {
      if (!once) return;
      once = false;
      closed++;
      open--;
    };
    return disk;
  });
  expect({ open, most, closed }).toEqual({ open: 0, most: 2, closed: 3 });
});

test('a disk that may not be open several times at once is opened one after the other', async () => {
  let open = 0;
  await checkDevice(async () => {
    expect(open++).toBe(0);
    const disk = new SparseDisk(10_000n, {});
    let once = true;
    disk.close = () => {
      if (once) open--;
      once = false;
    };
    return Promise.resolve(disk);
  });
  expect(open).toBe(0);
});

test('the same seed makes the same requests', async () => {
  const requestsOf = async (seed: number) => {
    const requests: string[] = [];
    class Recording extends SparseDisk {
      override read(...[offset, into, options]: Parameters<SparseDisk['read']>): void {
        requests.push(`read ${offset} ${into.length}`);
        super.read(offset, into, options);
      }
      override write(offset: bigint, from: Uint8Array): void {
        requests.push(`write ${offset} ${from.join()}`);
        super.write(offset, from);
      }
    }
    await checkDevice(new Recording(10_000n), { seed, rounds: 8 });
    return requests;
  };
  const requests = await requestsOf(7);
  expect(requests.length).toBeGreaterThan(100);
  expect(await requestsOf(7)).toEqual(requests);
  expect(await requestsOf(8)).not.toEqual(requests);
});
