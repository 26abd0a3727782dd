import type { FilterModule } from '@nbd/plugin';
import { describe, test } from 'vitest';
import * as filters from '../src/index.js';
import { checkFilter, disk, KINDS, scribble, SILENT } from './disks.js';

const SIZE = 2n * 2n ** 20n + 65_536n;

type Case = readonly [name: keyof typeof filters, words: string];

/** Filters that do something to offsets and lengths, or keep content, and the words for them. */
const SHAPING: readonly Case[] = [
  ['cache', '1M'],
  ['cow', ''],
  ['offset', '128K range=1M'],
  ['readahead', ''],
  ['truncate', '1M'],
  ['truncate', 'round-down=1M'],
];

/** Filters that pass requests on as they are. */
const PASSING: readonly Case[] = [
  ['delay', 'flush=1ms'],
  ['error', '0%'],
  ['log', ''],
  ['noextents', ''],
  ['retry', ''],
  ['stats', ''],
];

const TIMEOUT = 60_000;

describe.each(Object.entries(KINDS))('over a disk %s', (_name, kind) => {
  const cases = 'minimumBlock' in kind ? SHAPING : [...SHAPING, ...PASSING];
  test.each(cases)(
    '%s %s keeps the contract of a device',
    async (name, words) => {
      const module = filters[name] as unknown as FilterModule;
      const filter = await module.fromArguments(words.split(' ').filter(Boolean), { log: SILENT });
      await checkFilter(filter, await disk(SIZE, kind), scribble);
    },
    TIMEOUT,
  );

  // It can't be written to past the end of the disk within, so that it is only read here.
  test.each(['4M', 'round-up=1M'])(
    'truncate %s keeps the contract of a device',
    async (words) => {
      const filter = await filters.truncate.fromArguments(words.split(' '));
      await checkFilter(filter, await disk(SIZE, { ...kind, info: { readOnly: true } }), scribble);
    },
    TIMEOUT,
  );
});
