import type { BlockDevice } from '@nbd/protocol';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { delay, error } from '../src/index.js';
import { bytesOf, disk, opened, request, SILENT } from './disks.js';

describe('delay', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('each command waits for its own time, and those without one not at all', async () => {
    const device = await opened(delay, '20ms read=1.5s trim=0', await disk(1n << 20n));
    vi.useFakeTimers();
    const settled: string[] = [];
    const note = (name: string, result: void | Promise<void>) => {
      void Promise.resolve(result).then(() => settled.push(name));
    };
    note('read', device.read(0n, new Uint8Array(1)));
    note('write', device.write!(0n, Uint8Array.of(1)));
    note('trim', device.trim!(0n, 1n));
    await vi.advanceTimersByTimeAsync(0);
    expect(settled).toEqual(['trim']);
    await vi.advanceTimersByTimeAsync(20);
    expect(settled).toEqual(['trim', 'write']);
    await vi.advanceTimersByTimeAsync(1479);
    expect(settled).toEqual(['trim', 'write']);
    await vi.advanceTimersByTimeAsync(1);
    expect(settled).toEqual(['trim', 'write', 'read']);
  });

  test('a request that nobody waits for any more ends at once, and is not carried out', async () => {
    const device = await opened(delay, 'write=1h', await disk(1n << 20n));
    const aborting = new AbortController();
    const writing = device.write!(0n, Uint8Array.of(1), { signal: aborting.signal });
    aborting.abort(new Error('gone'));
    await expect(writing).rejects.toThrow('gone');
    await expect(device.write!(0n, Uint8Array.of(1), { signal: aborting.signal })).rejects.toThrow('gone');
    expect(await bytesOf(device, 0n, 1)).toEqual(Uint8Array.of(0));
  });

  test('opening and closing can be slow, too', async () => {
    const plugin = (await delay.create({ open: 1000, close: 500 }))(await disk(1n << 20n));
    vi.useFakeTimers();
    const opening = plugin.open(request);
    await vi.advanceTimersByTimeAsync(1000);
    const device = await opening;
    const closing = device.close!();
    await vi.advanceTimersByTimeAsync(500);
    await closing;
  });

  test.each(['20', '20 ms', '-1s', '25d', '1000h', 'x'])('read=%s', async (time) => {
    const setUp = delay.fromArguments([`read=${time}`]);
    if (time === '20') await setUp;
    else await expect(setUp).rejects.toThrow(/^filter-delay: read=.* is not a time up to 24 days/);
  });
});

describe('error', () => {
  /** Which of many requests fail, one character each. */
  async function failures(device: BlockDevice, count = 2000): Promise<string> {
    let seen = '';
    for (let n = 0; n < count; n++) {
      const read = async () => device.read(BigInt(n), new Uint8Array(1));
      seen += await read().then(
        () => '.',
        () => 'x',
      );
    }
    return seen;
  }

  test('a share of the requests fails, and the same ones with the same seed', async () => {
    const first = await failures(await opened(error, '10% seed=7', await disk(1n << 20n)));
    const count = first.split('x').length - 1;
    expect(count).toBeGreaterThan(140);
    expect(count).toBeLessThan(260);
    expect(await failures(await opened(error, '0.1 seed=7', await disk(1n << 20n)))).toBe(first);
    expect(await failures(await opened(error, '10% seed=8', await disk(1n << 20n)))).not.toBe(first);
  });

  test('a seed that was not given is told, to repeat what happened', async () => {
    const lines: string[] = [];
    const log = { ...SILENT, info: (line: string) => void lines.push(line) };
    const filter = await error.fromArguments(['50%'], { log });
    const seen = await failures(await filter(await disk(1n << 20n)).open(request), 100);
    const seed = /^filter-error: to repeat this, (seed=\d+)$/.exec(lines.join('\n'))![1]!;
    expect(await failures(await opened(error, `50% ${seed}`, await disk(1n << 20n)), 100)).toBe(seen);
  });

  test('rates and the error are chosen by command, and what fails is not carried out', async () => {
    const device = await opened(error, 'write=100% flush=100% error=ENOSPC', await disk(1n << 20n));
    const write = async () => device.write!(4n, Uint8Array.of(1));
    await expect(write()).rejects.toMatchObject({ code: 'ENOSPC', offset: 4n });
    await expect((async () => device.flush!())()).rejects.toMatchObject({ code: 'ENOSPC' });
    await device.zero!(0n, 1n);
    expect(await bytesOf(device, 4n, 1)).toEqual(Uint8Array.of(0));
  });

  test.each(['101%', '1.5', '-1', 'often'])('a rate of %s is refused', async (rate) => {
    await expect(error.fromArguments([rate])).rejects.toThrow(
      `filter-error: rate=${rate} is not a rate: 0% to 100%, or 0 to 1`,
    );
  });
});
