import { expect, test } from 'vitest';
import { slotsOf } from '../src/directory.js';
import { entryNames } from '../src/names.js';
import type { Directory, File } from '../src/scan.js';

function directoryOf(names: readonly string[]): Directory {
  const common = { modifiedNs: 0n, firstCluster: 0 };
  const root: Directory = { kind: 'directory', name: '/tree', parent: undefined, children: [], ...common };
  const directory: Directory = { ...root, name: 'full', parent: root, children: [] };
  const file = { kind: 'file', parent: directory, size: 0, readOnly: false, ...common } as const;
  const identity = { device: 1n, inode: 1n, bornNs: 1n };
  directory.children.push(...names.map((name): File => ({ ...file, ...identity, name })));
  return directory;
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

test('a directory has 65 536 slots and no more', () => {
  const names = Array.from({ length: 65_534 }, (_, i) => `F${i}`);
  expect(slots(names)).toBe(65_536);
  expect(() => slots([...names, 'ANOTHER'])).toThrow(
    '/tree/full takes 65537 slots of 32 bytes, for 65535 names; a directory on FAT has at most 65536. ' +
      'Split it, or give its files shorter names',
  );
});
