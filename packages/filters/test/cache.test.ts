import { overridePlugin, type FilterModule, type Plugin } from '@nbd/plugin';
import { overrideDevice, type BlockDevice, type DeviceInfo } from '@nbd/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cache, readahead } from '../src/index.js';
import { bytesOf, disk, opened, request, scribble } from './disks.js';

const SIZE = 8n << 20n;
const BLOCK = 65_536;

/** A disk whose calls settle when the test says so, and which tells of its reads. */
class Held {
  readonly reads: string[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly plugin: Plugin;
  isHeld = true;

  private constructor(inner: Plugin, info?: DeviceInfo) {
    const held = <T>(call: () => T | Promise<T>): Promise<T> =>
      new Promise<void>((resolve) => {
        if (this.isHeld) this.#waiting.push(resolve);
        else resolve();
      }).then(call);
    this.plugin = overridePlugin(inner, {
      open: async (request) => {
        const device = await inner.open(request);
        return overrideDevice(device, {
          info: { ...device.info, ...info },
          read: (offset, into) => {
            this.reads.push(`${into.length} at ${offset}`);
            return held(() => device.read(offset, into));
          },
          write: (offset, from) => held(() => device.write!(offset, from)),
        });
      },
    });
  }

  static async of(size: bigint, info?: DeviceInfo): Promise<Held> {
    return new Held(await disk(size), info);
  }

  /** Lets the oldest call settle, or another. */
  release(index = 0): void {
    this.#waiting.splice(index, 1)[0]!();
  }

  releaseAll(): void {
    this.isHeld = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

describe('cache', () => {
  test('what was read is not read again, and a miss is read in whole blocks, together', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(cache, '', held.plugin);
    await device.read(70_000n, new Uint8Array(10));
    await device.read(65_536n, new Uint8Array(512));
    expect(held.reads).toEqual(['65536 at 65536']);
    await device.read(0n, new Uint8Array(4 * BLOCK));
    expect(held.reads.slice(1)).toEqual(['65536 at 0', '131072 at 131072']);
    expect(device.read(1n, new Uint8Array(200_000))).toBeUndefined();
  });

  test('reads of one block at once are one read of the disk', async () => {
    const held = await Held.of(SIZE);
    const device = await opened(cache, '', held.plugin);
    const reading = Array.from({ length: 16 }, async (_, n) =>
      device.read(BigInt(n * 4096), new Uint8Array(4096)),
    );
    expect(held.reads).toEqual(['65536 at 0']);
    held.releaseAll();
    await Promise.all(reading);
  });

  test('what is read while it is written is not kept, whichever settles first', async () => {
    for (const readSettlesFirst of [true, false]) {
      const held = await Held.of(SIZE);
      const device = await opened(cache, '', held.plugin);
      const reading = device.read(0n, new Uint8Array(10));
      const writing = device.write!(5n, Uint8Array.of(7));
      held.release(readSettlesFirst ? 0 : 1);
      await (readSettlesFirst ? reading : writing);
      held.releaseAll();
      await Promise.all([reading, writing]);
      expect(await bytesOf(device, 5n, 1)).toEqual(Uint8Array.of(7));
    }
  });

  test('a read that begins after a write does not join one that began before it', async () => {
    const held = await Held.of(SIZE);
    const device = await opened(cache, '', held.plugin);
    const early = device.read(0n, new Uint8Array(10));
    const writing = device.write!(5n, Uint8Array.of(7));
    held.release(1);
    await writing;
    const into = new Uint8Array(1);
    const late = device.read(5n, into);
    expect(held.reads).toHaveLength(2);
    held.releaseAll();
    await Promise.all([early, late]);
    expect(into).toEqual(Uint8Array.of(7));
    expect(await bytesOf(device, 5n, 1)).toEqual(Uint8Array.of(7));
  });

  test('a write changes what is kept; of two of the same bytes at once neither is believed', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(cache, '', held.plugin);
    await device.read(0n, new Uint8Array(1));
    await device.write!(3n, Uint8Array.of(1, 2));
    await device.zero!(4n, 1n);
    expect(await bytesOf(device, 2n, 4)).toEqual(Uint8Array.of(0, 1, 0, 0));
    expect(held.reads).toHaveLength(1);
    held.isHeld = true;
    const writes = [device.write!(3n, Uint8Array.of(8)), device.write!(3n, Uint8Array.of(9))];
    held.release(1);
    await writes[1];
    held.releaseAll();
    await writes[0];
    expect(await bytesOf(device, 3n, 1)).toEqual(Uint8Array.of(8));
  });

  test('connections share it if the disk is one on all of them, and do not else', async () => {
    for (const multiConn of [true, false]) {
      const held = await Held.of(SIZE, { multiConn });
      held.releaseAll();
      const plugin = (await cache.create({}))(held.plugin);
      const [one, other] = [await plugin.open(request), await plugin.open(request)];
      await one.read(0n, new Uint8Array(1));
      await other.read(0n, new Uint8Array(1));
      expect(held.reads).toHaveLength(multiConn ? 1 : 2);
    }
  });

  test('memory is bounded, and what was used last is kept', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(cache, '1M', held.plugin);
    const touch = (block: number) => device.read(BigInt(block * BLOCK), new Uint8Array(1));
    for (let block = 0; block < 16; block++) await touch(block);
    await touch(0);
    await touch(16);
    held.reads.length = 0;
    await touch(0);
    expect(held.reads).toEqual([]);
    await touch(1);
    expect(held.reads).toEqual(['65536 at 65536']);
  });

  test('a read that fails fails only those who want the bytes that can not be read', async () => {
    const inner = await disk(SIZE);
    const broken = overridePlugin(inner, {
      open: async (request) => {
        const device = await inner.open(request);
        return overrideDevice(device, {
          async read(offset, into) {
            if (offset <= 1000n && offset + BigInt(into.length) > 1000n) throw new Error('bad sector');
            await device.read(offset, into);
          },
        });
      },
    });
    const device = await opened(cache, '', broken);
    await expect(device.read(900n, new Uint8Array(200))).rejects.toThrow('bad sector');
    await device.read(2000n, new Uint8Array(200));
  });

  test('the command cache fills it', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(cache, '', held.plugin);
    await device.cache!(0n, 300_000n);
    expect(device.read(0n, new Uint8Array(300_000))).toBeUndefined();
    expect(held.reads).toEqual(['327680 at 0']);
  });
});

describe('readahead', () => {
  test('reads further and further ahead of a client that reads in order', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(readahead, '1M', held.plugin);
    let sync = 0;
    for (let at = 0n; at < SIZE; at += 65_536n) {
      if (device.read(at, new Uint8Array(65_536)) === undefined) sync++;
      await new Promise(setImmediate);
    }
    // Once it is under way, what is asked for is there.
    expect(sync).toBeGreaterThan(120);
    const lengths = held.reads.map((read) => Number(read.split(' ')[0]));
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(Number(SIZE));
    expect(Math.max(...lengths)).toBeGreaterThan(1 << 19);
  });

  test('reads nothing else for a client that jumps', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(readahead, '', held.plugin);
    for (const at of [5n << 20n, 1n << 20n, 7n << 20n, 3n << 20n]) await device.read(at, new Uint8Array(512));
    expect(held.reads).toEqual(['512 at 5242880', '512 at 1048576', '512 at 7340032', '512 at 3145728']);
  });

  test('reads nothing ahead of reads that are as long as all that it would read', async () => {
    const held = await Held.of(SIZE);
    held.releaseAll();
    const device = await opened(readahead, '1M', held.plugin);
    for (const at of [0n, 1n << 20n, 2n << 20n]) await device.read(at, new Uint8Array(1 << 20));
    expect(held.reads).toEqual(['1048576 at 0', '1048576 at 1048576', '1048576 at 2097152']);
  });

  test('closing waits for what is being read ahead', async () => {
    const held = await Held.of(SIZE);
    const device = await opened(readahead, '', held.plugin);
    const reading = device.read(0n, new Uint8Array(65_536));
    held.release();
    await reading;
    let isClosed = false;
    const closing = Promise.resolve(device.close!()).then(() => (isClosed = true));
    await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    held.releaseAll();
    await closing;
  });
});

const MODEL_SIZE = 300_000;

/** Calls on a late disk, many at once on several connections: every read sees what settled before it began. */
async function stress(module: FilterModule<never>, words: string, seed: number): Promise<void> {
  const inner = await disk(BigInt(MODEL_SIZE), { late: true });
  await scribble(await inner.open(request));
  const filter = await module.fromArguments(words.split(' ').filter(Boolean));
  const plugin = filter(inner);
  const devices: BlockDevice[] = [await plugin.open(request), await plugin.open(request)];
  const model = await bytesOf(await inner.open(request), 0n, MODEL_SIZE);
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 0x8000_0000) * limit);
  };
  for (let round = 0; round < 60; round++) {
    // Ranges that do not touch, so that the outcome is known, but share blocks.
    const step = 1 + below(9000);
    const calls: Promise<unknown>[] = [];
    for (let at = below(step); at + step <= MODEL_SIZE && calls.length < 24; at += step + below(20_000)) {
      const device = devices[below(2)]!;
      const offset = BigInt(at);
      const kind = below(4);
      if (kind === 0) {
        const from = new Uint8Array(step).fill(1 + below(255));
        model.set(from, at);
        calls.push(Promise.resolve(device.write!(offset, from)));
      } else if (kind === 1) {
        model.fill(0, at, at + step);
        calls.push(Promise.resolve(device.zero!(offset, BigInt(step))));
      } else {
        const expected = model.slice(at, at + step);
        const check = bytesOf(device, offset, step).then((bytes) => {
          expect(Buffer.compare(bytes, expected), `round ${round}, ${step} bytes at ${at}`).toBe(0);
        });
        calls.push(check);
      }
    }
    await Promise.all(calls);
  }
}

test.each([
  [cache, '1M'],
  [readahead, '128K'],
] as [FilterModule<never>, string][])(
  'many calls at once never see what is stale',
  async (module, words) => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => stress(module, words, seed)),
      { numRuns: 8 },
    );
  },
  60_000,
);
