/**
 * A reader of FAT volumes that shares nothing with the writer: it knows a volume by its bytes, and the format by
 * Microsoft's specification. It throws on everything that is not right.
 */
export type ReadBytes = (offset: number, length: number) => Promise<Uint8Array>;

export interface FatVolume {
  readonly type: 12 | 16 | 32;
  readonly sectors: number;
  readonly clusterSize: number;
  readonly clusters: number;
  readonly freeClusters: number;
  readonly rootSlots: number;
  readonly sectorsPerTable: number;
  readonly sectorsPerTrack: number;
  readonly heads: number;
  readonly hiddenSectors: number;
  readonly media: number;
  readonly drive: number;
  readonly serial: number;
  readonly label: string;
  readonly root: FatDirectory;
}

interface FatEntry {
  /** As `BASE.EXT`. */
  readonly shortName: string;
  /** `2024-02-29 12:34:56`: last changed, as it stands on the disk. */
  readonly modified: string;
  /** With hundredths of a second. */
  readonly created: string;
}

export interface FatFile extends FatEntry {
  readonly size: number;
  readonly readOnly: boolean;
  /** Where its first byte is, in bytes from the start of the volume; 0 for an empty file. */
  readonly offset: number;
}

export interface FatDirectory extends FatEntry {
  /** By long name, or the short one where there is no long one. */
  readonly entries: ReadonlyMap<string, FatFile | FatDirectory>;
  readonly slots: number;
}

export function isDirectory(entry: FatFile | FatDirectory): entry is FatDirectory {
  return 'entries' in entry;
}

export interface Partition {
  readonly type: number;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

/** The one partition of a disk, by its master boot record. */
export async function readPartition(disk: ReadBytes): Promise<Partition> {
  const view = viewOf(await disk(0, 512));
  check(view.getUint16(510, true) === 0xaa55, 'master boot record without signature');
  check(view.getUint32(440, true) !== 0, 'disk without identity');
  for (let at = 462; at < 510; at++) check(view.getUint8(at) === 0, 'more than one partition');
  check(view.getUint8(446) === 0, 'partition is marked as bootable');
  return {
    type: view.getUint8(450),
    offset: view.getUint32(454, true) * 512,
    length: view.getUint32(458, true) * 512,
  };
}

export async function readVolume(bytes: ReadBytes): Promise<FatVolume> {
  const boot = viewOf(await bytes(0, 512));
  check(boot.getUint8(0) === 0xeb && boot.getUint8(2) === 0x90, 'boot sector does not start with a jump');
  check(boot.getUint16(510, true) === 0xaa55, 'boot sector without signature');
  check(boot.getUint16(11, true) === 512, 'bytes per sector');
  check(boot.getUint8(16) === 2, 'number of tables');
  const sectorsPerCluster = boot.getUint8(13);
  check([1, 2, 4, 8, 16, 32, 64].includes(sectorsPerCluster), `${sectorsPerCluster} sectors per cluster`);
  const reserved = boot.getUint16(14, true);
  const rootSlots = boot.getUint16(17, true);
  check(rootSlots % 16 === 0, 'root directory does not fill its sectors');
  const short = boot.getUint16(19, true);
  const sectors = short || boot.getUint32(32, true);
  check(short === 0 || boot.getUint32(32, true) === 0, 'two numbers of sectors');
  const sectorsPerTable = boot.getUint16(22, true) || boot.getUint32(36, true);
  const tablesAt = reserved * 512;
  const rootAt = tablesAt + 2 * sectorsPerTable * 512;
  const dataAt = rootAt + rootSlots * 32;
  const clusters = Math.floor((sectors - dataAt / 512) / sectorsPerCluster);
  const type = clusters < 4085 ? 12 : clusters < 65_525 ? 16 : 32;
  for (const limit of [4085, 65_525])
    check(Math.abs(clusters - limit) >= 16, `${clusters} clusters are close to a limit`);
  check((boot.getUint16(22, true) === 0) === (type === 32), 'size of the tables is in the wrong place');
  check((rootSlots === 0) === (type === 32), 'root directory is in the wrong place');
  check(reserved === (type === 32 ? 32 : 1), `${reserved} reserved sectors`);
  check((sectorsPerTable * 4096) / type >= clusters + 2, 'tables are too small');

  const identityAt = type === 32 ? 64 : 36;
  check(boot.getUint8(identityAt + 2) === 0x29, 'extended boot signature');
  const serial = boot.getUint32(identityAt + 3, true);
  const label = text(boot, identityAt + 7, 11);
  check(text(boot, identityAt + 18, 8) === `FAT${type}   `, 'name of the file system');

  const table = await bytes(tablesAt, sectorsPerTable * 512);
  check(same(table, await bytes(tablesAt + sectorsPerTable * 512, sectorsPerTable * 512)), 'tables differ');
  const entry = entryReader(viewOf(table), type);
  const endOfChain = 2 ** (type === 32 ? 28 : type) - 1;
  const media = boot.getUint8(21);
  check(entry(0) === endOfChain - 255 + media, 'media descriptor in the table');
  check(entry(1) === endOfChain, 'second entry of the table');

  const clusterSize = sectorsPerCluster * 512;
  const seen = new Set<number>();
  /** Bytes of a chain, which has to be in one piece. */
  const chain = (first: number): { offset: number; length: number } => {
    let cluster = first;
    for (; ; cluster++) {
      check(cluster >= 2 && cluster < clusters + 2, `cluster ${cluster} does not exist`);
      check(!seen.has(cluster), `cluster ${cluster} is in two chains`);
      seen.add(cluster);
      const next = entry(cluster);
      if (next === endOfChain) break;
      check(next === cluster + 1, `cluster ${cluster} is followed by ${next}`);
    }
    return { offset: dataAt + (first - 2) * clusterSize, length: (cluster + 1 - first) * clusterSize };
  };

  const readDirectory = async (
    data: Uint8Array,
    own: FatEntry & { cluster: number; parent: number | undefined },
  ): Promise<FatDirectory> => {
    const { slots, items, volumeLabel } = parseDirectory(data);
    const entries = new Map<string, FatFile | FatDirectory>();
    if (own.parent === undefined) {
      check(volumeLabel === label, `label ${volumeLabel} in the root, ${label} in the boot sector`);
    } else {
      check(volumeLabel === undefined, 'label outside the root');
      const [dot, dotDot] = items.splice(0, 2);
      check(dot?.rawName === '.          ' && dot.cluster === own.cluster, '. entry');
      check(dotDot?.rawName === '..         ' && dotDot.cluster === own.parent, '.. entry');
      check(dot.isDirectory && dotDot.isDirectory, '. and .. are directories');
      check(dot.modified === own.modified, 'date of .');
    }
    for (const item of items) {
      check(/^[A-Z0-9$%'_@~`!(){}^#&-]{1,8} *$/.test(item.rawName.slice(0, 8)), `short name ${item.rawName}`);
      check(/^[A-Z0-9$%'_@~`!(){}^#&-]{0,3} *$/.test(item.rawName.slice(8)), `short name ${item.rawName}`);
      const name = item.longName ?? item.shortName;
      check(!entries.has(name), `two entries ${name}`);
      if (item.isDirectory) {
        check(item.size === 0, `size of directory ${name}`);
        const { offset, length } = chain(item.cluster);
        const parent = own.parent === undefined ? 0 : own.cluster;
        entries.set(name, await readDirectory(await bytes(offset, length), { ...item, parent }));
      } else {
        check((item.size === 0) === (item.cluster === 0), `cluster of ${name}`);
        const { offset, length } = item.size === 0 ? { offset: 0, length: 0 } : chain(item.cluster);
        check(
          item.size <= length && item.size > length - clusterSize,
          `${name}: ${item.size} bytes in ${length}`,
        );
        const { shortName, size, readOnly, modified, created } = item;
        entries.set(name, { shortName, size, readOnly, modified, created, offset });
      }
    }
    checkNamesDiffer(items);
    return { shortName: own.shortName, modified: own.modified, created: own.created, entries, slots };
  };
  const rootCluster = type === 32 ? boot.getUint32(44, true) : 0;
  const rootBytes = type === 32 ? chain(rootCluster) : { offset: rootAt, length: rootSlots * 32 };
  const root = await readDirectory(await bytes(rootBytes.offset, rootBytes.length), {
    ...{ shortName: '', modified: '', created: '' },
    cluster: rootCluster,
    parent: undefined,
  });

  const entryCount = Math.floor((table.length * 8) / type);
  for (let cluster = 2; cluster < entryCount; cluster++) {
    check(seen.has(cluster) || entry(cluster) === 0, `cluster ${cluster} is lost`);
  }
  const freeClusters = clusters - seen.size;
  if (type === 32) await checkFat32(bytes, boot, { freeClusters, firstFree: seen.size + 2, clusters });
  return {
    ...{
      type,
      sectors,
      clusterSize,
      clusters,
      freeClusters,
      rootSlots,
      sectorsPerTable,
      media,
      serial,
      label,
    },
    sectorsPerTrack: boot.getUint16(24, true),
    heads: boot.getUint16(26, true),
    hiddenSectors: boot.getUint32(28, true),
    drive: boot.getUint8(identityAt),
    root,
  };
}

/** Every file of the volume by its path, and every directory, whose path ends with a slash. */
export function pathsOf(directory: FatDirectory, prefix = ''): Map<string, FatFile | FatDirectory> {
  const paths = new Map<string, FatFile | FatDirectory>();
  for (const [name, entry] of directory.entries) {
    const path = `${prefix}${name}`;
    if (!isDirectory(entry)) {
      paths.set(path, entry);
      continue;
    }
    paths.set(`${path}/`, entry);
    for (const [inner, deeper] of pathsOf(entry, `${path}/`)) paths.set(inner, deeper);
  }
  return paths;
}

async function checkFat32(
  bytes: ReadBytes,
  boot: DataView,
  { freeClusters, firstFree, clusters }: { freeClusters: number; firstFree: number; clusters: number },
): Promise<void> {
  check(boot.getUint16(48, true) === 1, 'place of FSInfo');
  check(boot.getUint16(50, true) === 6, 'place of the backup');
  check(same(await bytes(0, 3 * 512), await bytes(6 * 512, 3 * 512)), 'backup of the boot sectors differs');
  const info = viewOf(await bytes(512, 512));
  check(text(info, 0, 4) === 'RRaA' && text(info, 484, 4) === 'rrAa', 'signatures of FSInfo');
  check(info.getUint32(508, true) === 0xaa55_0000, 'last signature of FSInfo');
  check(info.getUint32(488, true) === freeClusters, `FSInfo says ${info.getUint32(488, true)} free clusters`);
  const next = info.getUint32(492, true);
  check(next === (firstFree < clusters + 2 ? firstFree : 0xffff_ffff), `FSInfo says ${next} is free`);
}

function entryReader(table: DataView, type: 12 | 16 | 32): (cluster: number) => number {
  if (type === 32) return (cluster) => table.getUint32(cluster * 4, true) & 0x0fff_ffff;
  if (type === 16) return (cluster) => table.getUint16(cluster * 2, true);
  return (cluster) => {
    const pair = table.getUint16(cluster + Math.floor(cluster / 2), true);
    return cluster % 2 === 0 ? pair & 0xfff : pair >> 4;
  };
}

interface Item extends FatEntry {
  readonly rawName: string;
  readonly longName: string | undefined;
  readonly isDirectory: boolean;
  readonly readOnly: boolean;
  readonly cluster: number;
  readonly size: number;
}

function parseDirectory(data: Uint8Array): { slots: number; items: Item[]; volumeLabel: string | undefined } {
  const items: Item[] = [];
  let volumeLabel: string | undefined;
  let long: { name: string; next: number; sum: number } | undefined;
  let at = 0;
  for (; at < data.length && data[at] !== 0; at += 32) {
    const slot = viewOf(data.subarray(at, at + 32));
    const attributes = slot.getUint8(11);
    if (attributes === 0x0f) {
      long = parseLongSlot(slot, long);
      continue;
    }
    const rawName = text(slot, 0, 11);
    if (attributes === 0x08) {
      check(volumeLabel === undefined && long === undefined, 'one label, without a long name');
      volumeLabel = rawName;
      continue;
    }
    check((attributes & ~0x31) === 0, `attributes ${attributes}`);
    if (long !== undefined) {
      check(long.next === 0 && long.sum === checksumOf(rawName), `long name of ${rawName}`);
      check(!/[\x00-\x1f"*/:<>?\\|]|[. ]$/.test(long.name), `long name ${long.name}`);
      check(long.name.length <= 255, `long name of ${long.name.length} characters`);
    }
    const base = rawName.slice(0, 8).trimEnd();
    const extension = rawName.slice(8).trimEnd();
    const modified = dateAndTime(slot.getUint16(24, true), slot.getUint16(22, true), 0);
    check(slot.getUint16(18, true) === slot.getUint16(24, true), 'date of the last access');
    items.push({
      rawName,
      shortName: extension === '' ? base : `${base}.${extension}`,
      longName: long?.name,
      isDirectory: (attributes & 0x10) !== 0,
      readOnly: (attributes & 0x01) !== 0,
      cluster: slot.getUint16(20, true) * 65_536 + slot.getUint16(26, true),
      size: slot.getUint32(28, true),
      modified,
      created: dateAndTime(slot.getUint16(16, true), slot.getUint16(14, true), slot.getUint8(13)),
    });
    long = undefined;
  }
  check(long === undefined, 'long name without an entry');
  for (let i = at; i < data.length; i++) check(data[i] === 0, 'bytes behind the end of a directory');
  return { slots: at / 32, items, volumeLabel };
}

function parseLongSlot(
  slot: DataView,
  sofar: { name: string; next: number; sum: number } | undefined,
): { name: string; next: number; sum: number } {
  const order = slot.getUint8(0);
  const sum = slot.getUint8(13);
  const number = order & 0x3f;
  if (sofar === undefined) check((order & 0x40) !== 0 && number >= 1 && number <= 20, `long slot ${order}`);
  else check(order === sofar.next && sum === sofar.sum, `long slot ${order} after ${sofar.next + 1}`);
  check(slot.getUint8(12) === 0 && slot.getUint16(26, true) === 0, 'fields of a long slot that are zero');
  const units = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30].map((place) => slot.getUint16(place, true));
  const end = units.indexOf(0);
  check(end === -1 || units.slice(end + 1).every((unit) => unit === 0xffff), 'end of a long name');
  check(end === -1 || sofar === undefined, 'end of a long name before its last slot');
  check(end !== 0, 'long slot without a character');
  const part = String.fromCharCode(...(end === -1 ? units : units.slice(0, end)));
  return { name: part + (sofar?.name ?? ''), next: number - 1, sum };
}

/** No two files may be found under the same name, be it long or short. */
function checkNamesDiffer(items: readonly Item[]): void {
  const owners = new Map<string, Item>();
  for (const item of items) {
    for (const name of [item.shortName, item.longName ?? item.shortName]) {
      const folded = Array.from(name, upper).join('');
      const owner = owners.get(folded);
      check(owner === undefined || owner === item, `${name} is the name of two files`);
      owners.set(folded, item);
    }
  }
}

function upper(character: string): string {
  const upper = character.toUpperCase();
  return upper.length === character.length ? upper : character;
}

function checksumOf(rawName: string): number {
  return Array.from(rawName).reduce((sum, c) => ((sum >> 1) + ((sum & 1) << 7) + c.charCodeAt(0)) % 256, 0);
}

function dateAndTime(date: number, time: number, hundredths: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${1980 + (date >> 9)}-${two((date >> 5) & 15)}-${two(date & 31)}`;
  const seconds = (time & 31) * 2 + Math.floor(hundredths / 100);
  const fraction = hundredths === 0 ? '' : `.${two(hundredths % 100)}`;
  return `${day} ${two(time >> 11)}:${two((time >> 5) & 63)}:${two(seconds)}${fraction}`;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function text(view: DataView, at: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`not a FAT volume as it should be: ${message}`);
}
