import type { Plugin } from '@nbd/plugin';
import { NbdError, overrideDevice, type BlockDevice, type NbdErrorCode } from '@nbd/protocol';
import { expect, test } from 'vitest';
import { retry } from '../src/index.js';
import { bytesOf, disk, extentsOf, request, SILENT } from './disks.js';

const SIZE = 1n << 20n;

/** A disk that fails as a test wants. */
class Failing implements Plugin {
  readonly name = 'plugin-failing';
  readonly #inner: Plugin;
  readonly events: string[] = [];
  /** How many calls, or openings, fail from now on. */
  failures = 0;
  openFailures = 0;
  code: NbdErrorCode = 'EIO';
  size = SIZE;
  #opened = 0;

  private constructor(inner: Plugin) {
    this.#inner = inner;
  }

  static async create(): Promise<Failing> {
    return new Failing(await disk(SIZE, { late: true }));
  }

  async open(): Promise<BlockDevice> {
    if (this.openFailures > 0) {
      this.openFailures--;
      throw new NbdError('ECONNREFUSED', 'nobody there');
    }
    const number = ++this.#opened;
    this.events.push(`open ${number}`);
    const device = await this.#inner.open(request);
    const check = (what: string) => {
      this.events.push(what);
      if (this.failures === 0) return;
      this.failures--;
      throw new NbdError(this.code, `${what} of ${number}`);
    };
    return overrideDevice(device, {
      size: this.size,
      info: { multiConn: true },
      read: async (offset, into, options) => {
        await device.read(offset, into, options);
        check('read');
      },
      write: async (offset, from) => {
        check('write');
        await device.write!(offset, from);
      },
      flush: async () => {
        check('flush');
        await device.flush!();
      },
      extents: async (offset, length, sink) => {
        let isFirst = true;
        await device.extents!(offset, length, {
          add(length, flags) {
            if (!isFirst) return false;
            isFirst = false;
            return sink.add(length, flags);
          },
        });
        check('extents');
      },
      close: () => void this.events.push(`close ${number}`),
    });
  }
}

async function opened(failing: Failing, ...words: string[]): Promise<BlockDevice> {
  const filter = await retry.fromArguments(['delay=1ms', ...words], { log: SILENT });
  return filter(failing).open(request);
}

test('a call that fails is repeated on the disk opened again', async () => {
  const failing = await Failing.create();
  const device = await opened(failing);
  failing.failures = 2;
  await device.write!(5n, Uint8Array.of(1));
  expect(failing.events).toEqual([
    ...['open 1', 'write', 'close 1'],
    ...['open 2', 'write', 'close 2'],
    ...['open 3', 'write'],
  ]);
  expect(await bytesOf(device, 5n, 1)).toEqual(Uint8Array.of(1));
});

test('calls that fail together open the disk once', async () => {
  const failing = await Failing.create();
  const device = await opened(failing);
  failing.failures = 8;
  await Promise.all(Array.from({ length: 8 }, async (_, n) => device.read(BigInt(n), new Uint8Array(1))));
  expect(failing.events.filter((event) => event.startsWith('open'))).toEqual(['open 1', 'open 2']);
});

test('a disk that can not be opened yet is tried again, too', async () => {
  const failing = await Failing.create();
  const device = await opened(failing);
  failing.failures = 1;
  failing.openFailures = 3;
  await device.read(0n, new Uint8Array(1));
});

test('after so many retries the call fails, and a later one tries again', async () => {
  const failing = await Failing.create();
  const device = await opened(failing, 'retries=2');
  failing.failures = 1;
  failing.openFailures = 2;
  await expect(device.read(0n, new Uint8Array(1))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await device.read(0n, new Uint8Array(1));
  await device.close?.();
  expect(failing.events.at(-1)).toBe('close 2');
});

test.each(['ENOSPC', 'EINVAL', 'EPERM', 'ENOTSUP'] as const)('%s is no reason to try again', async (code) => {
  const failing = await Failing.create();
  const device = await opened(failing);
  failing.failures = 1;
  failing.code = code;
  await expect(device.write!(0n, Uint8Array.of(1))).rejects.toMatchObject({ code });
  expect(failing.events).toEqual(['open 1', 'write']);
});

test('a flush that fails is not repeated: what was written may be lost with the disk', async () => {
  const failing = await Failing.create();
  const device = await opened(failing);
  await device.write!(0n, Uint8Array.of(1));
  failing.failures = 1;
  await expect(device.flush!()).rejects.toThrow('flush of 1');
  await device.flush!();
  expect(failing.events).toEqual(['open 1', 'write', 'flush', 'close 1', 'open 2', 'flush']);
});

test('when the disk is opened again with writes that were not flushed, the next flush of each connection fails', async () => {
  const failing = await Failing.create();
  const plugin = (await retry.create({ delay: 1 }, { log: SILENT }))(failing);
  const [one, other] = [await plugin.open(request), await plugin.open(request)];
  await one.write!(0n, Uint8Array.of(1));
  failing.failures = 1;
  await other.read(0n, new Uint8Array(1));
  await expect((async () => one.flush!())()).rejects.toThrow('what was not flushed may be lost');
  await expect((async () => other.flush!())()).rejects.toThrow('what was not flushed may be lost');
  await one.flush!();
  await other.flush!();

  // Nothing is unflushed now.
  failing.failures = 1;
  await one.read(0n, new Uint8Array(1));
  await one.flush!();
});

test('a disk that is another one when it is opened again is not used', async () => {
  const failing = await Failing.create();
  const device = await opened(failing);
  failing.failures = 1;
  failing.size = SIZE / 2n;
  await expect(device.read(0n, new Uint8Array(1))).rejects.toThrow('the disk is another one');
  expect(failing.events).toEqual(['open 1', 'read', 'close 1', 'open 2', 'close 2']);
});

test('holes are told once, and extents that were told are not told again', async () => {
  const failing = await Failing.create();
  const device = await opened(failing);
  const holes: [bigint, bigint][] = [];
  failing.failures = 1;
  await device.read(0n, new Uint8Array(8192), { holes: { add: (at, length) => holes.push([at, length]) } });
  expect(holes).toEqual([[0n, 8192n]]);
  failing.failures = 1;
  expect(await extentsOf(device, 0n, SIZE)).toEqual([`${SIZE} 3`]);
});

test('who has lost interest does not wait', async () => {
  const failing = await Failing.create();
  const device = await (await retry.create({ delay: 3_600_000 }, { log: SILENT }))(failing).open(request);
  failing.failures = 1;
  const aborting = new AbortController();
  const reading = device.read(0n, new Uint8Array(1), { signal: aborting.signal });
  await expect.poll(() => failing.events).toContain('read');
  aborting.abort(new Error('gone'));
  await expect(reading).rejects.toThrow('gone');
});
