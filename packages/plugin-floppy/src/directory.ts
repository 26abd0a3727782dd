import { NbdError } from '@nbd/protocol';
import { printable } from './byte-string.js';
import { fatDate, type FatDate } from './dates.js';
import { SLOT } from './geometry.js';
import type { EntryName } from './names.js';
import { pathOf, type Directory } from './tree.js';

/**
 * The slots of 32 bytes that a directory takes: one for each file and up to 20 more for its long name.
 * @throws NbdError ENOSPC if they are more than a directory may have.
 */
export function slotsOf(directory: Directory, names: readonly EntryName[]): number {
  const slots = names.reduce((sum, { long }) => sum + 1 + longSlots(long), firstSlots(directory));
  if (slots <= MAX_SLOTS) return slots;
  throw new NbdError(
    'ENOSPC',
    `${printable(pathOf(directory))} takes ${slots} slots of ${SLOT} bytes, for ${names.length} names; a directory ` +
      `on FAT has at most ${MAX_SLOTS}. Split it, or give its files shorter names`,
  );
}

/**
 * The slots, but for the clusters, which {@link putClusters} adds once all nodes have their places. FAT specification,
 * "FAT Directory Structure" and "Long Directory Entries".
 * @param label 11 characters, for the root.
 * @param utc whether dates are those of UTC, not of the local time zone.
 */
export function directoryBytes(
  directory: Directory,
  names: readonly EntryName[],
  label: string,
  utc: boolean,
): Uint8Array {
  const bytes = new Uint8Array(slotsOf(directory, names) * SLOT);
  const view = new DataView(bytes.buffer);
  const own = fatDate(directory.modified, utc);
  if (directory.parent === undefined) {
    putShort(view, 0, { name: label, attributes: VOLUME_LABEL, size: 0, modified: own });
  } else {
    const parent = fatDate(directory.parent.modified, utc);
    putShort(view, 0, { name: DOT, attributes: DIRECTORY, size: 0, modified: own });
    putShort(view, SLOT, { name: DOT_DOT, attributes: DIRECTORY, size: 0, modified: parent });
  }
  let at = firstSlots(directory) * SLOT;
  const { children, files } = directory;
  for (const [place, child] of children.entries()) {
    const { long, short } = names[place]!;
    if (long !== undefined) at = putLong(view, at, long, checksum(short));
    const isFile = typeof child === 'string';
    putShort(view, at, {
      name: short,
      attributes: isFile ? (files.isReadOnly(place) ? ARCHIVE | READ_ONLY : ARCHIVE) : DIRECTORY,
      size: isFile ? files.sizes[place]! : 0,
      modified: fatDate(isFile ? files.modified(place) : child.modified, utc),
    });
    at += SLOT;
  }
  return bytes;
}

/** Puts into a directory's slots where it is, where its parent is, and where each of its children is. */
export function putClusters({ parent, firstCluster, children, files }: Directory, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer);
  let at = SLOT;
  if (parent !== undefined) {
    putCluster(view, 0, firstCluster);
    // The root is number 0 here, also on FAT32, where it has a number.
    putCluster(view, SLOT, parent.parent === undefined ? 0 : parent.firstCluster);
    at += SLOT;
  }
  for (const [place, child] of children.entries()) {
    while (view.getUint8(at + 11) === LONG_NAME) at += SLOT;
    putCluster(view, at, typeof child === 'string' ? files.firstClusters[place]! : child.firstCluster);
    at += SLOT;
  }
}

/** Readers count a directory's slots in 16 bits: 2 MiB. FAT specification, "FAT Directory Structure". */
const MAX_SLOTS = 65_536;

const READ_ONLY = 0x01;
const VOLUME_LABEL = 0x08;
const DIRECTORY = 0x10;
/** Not backed up yet, as for every file that was just written. */
const ARCHIVE = 0x20;
/** Read-only, hidden, system and label at once: what knows no long names passes over it. */
const LONG_NAME = 0x0f;

const DOT = '.'.padEnd(11);
const DOT_DOT = '..'.padEnd(11);

/** The root has the volume's label in front, others have "." and "..". */
function firstSlots({ parent }: Directory): number {
  return parent === undefined ? 1 : 2;
}

interface ShortEntry {
  readonly name: string;
  readonly attributes: number;
  readonly size: number;
  readonly modified: FatDate;
}

function putShort(view: DataView, at: number, entry: ShortEntry): void {
  const { date, time, hundredths } = entry.modified;
  for (let i = 0; i < 11; i++) view.setUint8(at + i, entry.name.charCodeAt(i));
  view.setUint8(at + 11, entry.attributes);
  // All three dates are the last change's: those of creation and access are lost when a tree is copied, and the second
  // changes by reading it.
  view.setUint8(at + 13, hundredths);
  view.setUint16(at + 14, time, true);
  view.setUint16(at + 16, date, true);
  view.setUint16(at + 18, date, true);
  view.setUint16(at + 22, time, true);
  view.setUint16(at + 24, date, true);
  view.setUint32(at + 28, entry.size, true);
}

function putCluster(view: DataView, at: number, cluster: number): void {
  view.setUint16(at + 20, cluster >>> 16, true);
  view.setUint16(at + 26, cluster & 0xffff, true);
}

/** UTF-16 units in a slot, and where they stand in it. */
const UNITS = 13;
const PLACES = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const LAST = 0x40;

function longSlots(name: string | undefined): number {
  return name === undefined ? 0 : Math.ceil(name.length / UNITS);
}

/** Writes the slots in front of the short name's: the end of the long name comes first. */
function putLong(view: DataView, at: number, name: string, sum: number): number {
  const slots = longSlots(name);
  for (let number = slots; number > 0; number--, at += SLOT) {
    view.setUint8(at, number === slots ? number | LAST : number);
    view.setUint8(at + 11, LONG_NAME);
    view.setUint8(at + 13, sum);
    for (let i = 0; i < UNITS; i++) {
      const index = (number - 1) * UNITS + i;
      // A zero behind the name, if there is room for it, and then nothing but ones.
      const unit = index < name.length ? name.charCodeAt(index) : index === name.length ? 0 : 0xffff;
      view.setUint16(at + PLACES[i]!, unit, true);
    }
  }
  return at;
}

/** Of the short name: a driver that renamed it without knowing of the long one has changed it. */
function checksum(shortName: string): number {
  let sum = 0;
  for (let i = 0; i < 11; i++) sum = (((sum & 1) << 7) + (sum >> 1) + shortName.charCodeAt(i)) & 0xff;
  return sum;
}
