import type { BigIntStats } from 'node:fs';

/** What is looked at. */
type Stats = Pick<BigIntStats, 'dev' | 'ino' | 'birthtimeNs' | 'mtimeNs' | 'mtimeMs' | 'size' | 'mode'>;

/** Numbers that tell whether a file is what it was. */
const STAMPS = 5;

/** Anyone may write. */
const WRITABLE = 0o222n;

/**
 * What is known of the files of a directory, at their places among its children. As plain numbers: as objects they would
 * take most of the memory of a large tree. Times in nanoseconds are cut to 64 bits (those after 2262 are longer), on both
 * sides of each comparison.
 */
export class FileTable {
  /** Bytes of each. */
  sizes = new Uint32Array();
  /** Where each is on the disk; 0 until it is placed, and for one without bytes. */
  firstClusters = new Uint32Array();
  #readOnly = new Uint8Array();
  #stamps = new BigInt64Array();

  /** Makes room for so many children, once. */
  reserve(count: number): void {
    this.sizes = new Uint32Array(count);
    this.firstClusters = new Uint32Array(count);
    this.#readOnly = new Uint8Array(count);
    this.#stamps = new BigInt64Array(STAMPS * count);
  }

  /** @param size under 4 GiB */
  set(place: number, { dev, ino, birthtimeNs, mtimeNs, mtimeMs, size, mode }: Stats): void {
    this.sizes[place] = Number(size);
    this.#readOnly[place] = (mode & WRITABLE) === 0n ? 1 : 0;
    const start = STAMPS * place;
    this.#stamps[start] = dev;
    this.#stamps[start + 1] = ino;
    this.#stamps[start + 2] = birthtimeNs;
    this.#stamps[start + 3] = mtimeNs;
    this.#stamps[start + 4] = mtimeMs;
  }

  isReadOnly(place: number): boolean {
    return this.#readOnly[place] === 1;
  }

  /** The file system that it is on. */
  device(place: number): bigint {
    return this.#stamps[STAMPS * place]!;
  }

  /** When it was modified: milliseconds since 1970. */
  modified(place: number): number {
    return Number(this.#stamps[STAMPS * place + 4]);
  }

  /** Whether this is that file. By its birth too: a new file often gets the inode of one that was just deleted. */
  isSameFile(place: number, { dev, ino, birthtimeNs }: Stats): boolean {
    return this.#has(place, 0, dev) && this.#has(place, 1, ino) && this.#has(place, 2, birthtimeNs);
  }

  isUnmodified(place: number, { mtimeNs }: Stats): boolean {
    return this.#has(place, 3, mtimeNs);
  }

  #has(place: number, number: number, value: bigint): boolean {
    return this.#stamps[STAMPS * place + number] === BigInt.asIntN(64, value);
  }
}
