import type { FilterModule } from '@nbd/plugin';
import { describe, test } from 'vitest';
import * as filters from '../src/index.js';
import { checkFilter, disk, KINDS, scribble, SILENT } from './disks.js';

const SIZE = 2n * 2n ** 20n + 65_536n;

/** Filters and the words for them. */
const CASES: readonly [name: keyof typeof filters, words: string][] = [
  ['cow', ''],
  ['delay', 'flush=1ms'],
  ['error', '0%'],
  ['log', ''],
  ['noextents', ''],
  ['offset', '128K range=1M'],
  ['stats', ''],
  ['truncate', '1M'],
  ['truncate', 'round-down=1M'],
];

describe.each(KINDS)('over a disk $kind', (kind) => {
  test.each(CASES)('%s %s keeps the contract of a device', async (name, words) => {
    const module = filters[name] as unknown as FilterModule;
    const filter = await module.fromArguments(words.split(' ').filter(Boolean), { log: SILENT });
    await checkFilter(filter, await disk(SIZE, kind), scribble);
  });

  // It can't be written to past the end of the disk within, so that it is only read here.
  test.each(['4M', 'round-up=1M'])('truncate %s keeps the contract of a device', async (words) => {
    const filter = await filters.truncate.fromArguments(words.split(' '));
    await checkFilter(filter, await disk(SIZE, { ...kind, info: { readOnly: true } }), scribble);
  });
});
