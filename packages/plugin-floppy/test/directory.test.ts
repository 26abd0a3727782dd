import { expect, test } from 'vitest';
import { slotsOf } from '../src/directory.js';
import { entryNames } from '../src/names.js';
import { Directory } from '../src/tree.js';

function directoryOf(names: readonly string[]): Directory {
  const full = new Directory('full', new Directory('/tree', undefined, 0), 0);
  full.children.push(...names);
  return full;
}

function slots(names: readonly string[]): number {
  const directory = directoryOf(names);
  return slotsOf(
    directory,
    entryNames(directory, () => undefined),
  );
}

test('a file takes a slot, and one more for every 13 characters of a long name', () => {
  expect(slots([])).toBe(2);
  expect(slots(['SHORT.TXT'])).toBe(3);
  expect(slots(['small.txt'])).toBe(4);
  expect(slots(['13 characters'])).toBe(4);
  expect(slots(['and 14 of them'])).toBe(5);
  expect(slots(['x'.repeat(255)])).toBe(2 + 21);
});

test('a directory has 65 536 slots and no more', { timeout: 30_000 }, () => {
  const names = Array.from({ length: 65_534 }, (_, i) => `F${i}`);
  expect(slots(names)).toBe(65_536);
  expect(() => slots([...names, 'ANOTHER'])).toThrow(
    '/tree/full takes 65537 slots of 32 bytes, for 65535 names; a directory on FAT has at most 65536. ' +
      'Split it, or give its files shorter names',
  );
});
