import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdError, overrideDevice } from '@nbd/protocol';
import { overridePlugin, type Plugin } from '@nbd/plugin';
import { expect, onTestFinished, test } from 'vitest';
import { collectStats, log, stats, type Totals } from '../src/index.js';
import { disk, request, SILENT } from './disks.js';

/** A disk whose trims fail. */
async function withoutTrim(): Promise<Plugin> {
  const inner = await disk(1n << 20n, { late: true });
  return overridePlugin(inner, {
    open: async (request) =>
      overrideDevice(await inner.open(request), {
        trim() {
          throw new NbdError('EPERM', 'no trims');
        },
      }),
  });
}

async function use(plugin: Plugin): Promise<void> {
  const device = await plugin.open({ ...request, exportName: 'scratch' });
  await device.write!(4096n, new Uint8Array(512), { fua: true });
  await device.zero!(0n, 1024n, { noHole: true });
  await device.read(0n, new Uint8Array(4096));
  await device.read(0n, new Uint8Array(512));
  await expect((async () => device.trim!(0n, 512n))()).rejects.toMatchObject({ code: 'EPERM' });
  await device.flush!();
  await device.close?.();
  await plugin.close?.();
}

const LINES = [
  'connection 1: open "scratch", 1048576 bytes',
  'connection 1: write 512 bytes at 4096 fua: TIME ms',
  'connection 1: zero 1024 bytes at 0 no-hole: TIME ms',
  'connection 1: read 4096 bytes at 0: TIME ms',
  'connection 1: read 512 bytes at 0: TIME ms',
  'connection 1: trim 512 bytes at 0: TIME ms, failed: EPERM (no trims)',
  'connection 1: flush: TIME ms',
  'connection 1: close',
];

const withoutTimes = (text: string) => text.replaceAll(/\d+\.\d+ (ms|s)/g, 'TIME $1');

test('log tells of each request, with what became of it', async () => {
  const lines: string[] = [];
  const filter = await log.create({}, { log: { ...SILENT, info: (line) => void lines.push(line) } });
  await use(filter(await withoutTrim()));
  expect(lines.map(withoutTimes)).toEqual(LINES.map((line) => `filter-log: ${line}`));
});

test('log appends to a file', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nbd-filters-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, 'requests.log');
  for (let run = 0; run < 2; run++) await use((await log.create({ file }))(await withoutTrim()));
  const lines = (await readFile(file, 'utf8')).split('\n');
  expect(lines.pop()).toBe('');
  expect(lines.map((line) => withoutTimes(line).replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z /, ''))).toEqual([
    ...LINES,
    ...LINES,
  ]);
});

test('a file that log cannot write to is refused at the start', async () => {
  await expect(log.create({ file: '/no/such/directory/log' })).rejects.toMatchObject({
    code: 'EIO',
    message: expect.stringMatching(
      /^filter-log: can't write to \/no\/such\/directory\/log: ENOENT/,
    ) as string,
  });
});

test('stats tells at the end how many requests there were, of how many bytes', async () => {
  const lines: string[] = [];
  const filter = await stats.create({}, { log: { ...SILENT, info: (line) => void lines.push(line) } });
  await use(filter(await withoutTrim()));
  expect(lines.map((line) => withoutTimes(line).replaceAll(/\([^)]*\/s\)/g, '(SPEED)'))).toEqual([
    'filter-stats: read: 2 requests, 4.5 KiB (SPEED), TIME ms on average, TIME ms at most',
    'filter-stats: write: 1 request, 512 B (SPEED), TIME ms on average, TIME ms at most',
    'filter-stats: zero: 1 request, 1 KiB (SPEED), TIME ms on average, TIME ms at most',
    'filter-stats: trim: 1 request, 1 failed, 0 B (SPEED), TIME ms on average, TIME ms at most',
    'filter-stats: flush: 1 request, TIME ms on average, TIME ms at most',
    'filter-stats: in TIME s from the first request on',
  ]);
});

test('programs get the numbers', async () => {
  let totals: Totals | undefined;
  await use(collectStats((all) => (totals = all))(await withoutTrim()));
  expect(totals!.get('read')).toMatchObject({ count: 2, failed: 0, bytes: 4608n });
  expect(totals!.get('trim')).toMatchObject({ count: 1, failed: 1, bytes: 0n });
  expect([...totals!.keys()].sort()).toEqual(['flush', 'read', 'trim', 'write', 'zero']);
});
