import { oneLine, printable } from './byte-string.js';
import { longNames } from './long-names.js';
import { nameOf, pathOfChild, type Directory } from './tree.js';
import { needsLongName, shortNames } from './short-names.js';

/** The names that a file or directory has on the disk. */
export interface EntryName {
  /** The one that people see; undefined where the short one says it all. */
  readonly long: string | undefined;
  /** 11 characters of ASCII, padded with spaces. */
  readonly short: string;
}

/**
 * The names of a directory's children, in their order.
 * @param warn told of each that can't be the one it has in the tree.
 */
export function entryNames(directory: Directory, warn: (message: string) => void): EntryName[] {
  const long = longNames(directory.children.map(nameOf));
  for (const [place, { text, reason }] of long.entries()) {
    if (reason === undefined) continue;
    warn(
      `${printable(pathOfChild({ parent: directory, place }))} is ${oneLine(`${text} on the disk: ${reason}`)}`,
    );
  }
  const short = shortNames(long.map(({ text }) => text));
  return long.map(({ text }, i) => ({ long: needsLongName(text) ? text : undefined, short: short[i]! }));
}
