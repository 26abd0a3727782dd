import type { BigIntStats } from 'node:fs';

/** What is looked at. */
type Stats = Pick<BigIntStats, 'dev' | 'ino' | 'birthtimeNs' | 'mtimeNs' | 'mtimeMs'>;

/** Numbers of a file. */
const NUMBERS = 5;

/**
 * What tells whether the files of a directory are still the same ones, and have what they had. As plain numbers: as
 * objects they would take most of the memory of a large tree. Times in nanoseconds are cut to 64 bits (those after 2262
 * are longer), on both sides of each comparison.
 */
export class Stamps {
  #numbers = new BigInt64Array();
  #count = 0;

  /** Makes room for so many files, once. */
  reserve(count: number): void {
    this.#numbers = new BigInt64Array(NUMBERS * count);
  }

  /** @returns the place of the file, for the other methods */
  add({ dev, ino, birthtimeNs, mtimeNs, mtimeMs }: Stats): number {
    const start = NUMBERS * this.#count;
    this.#numbers[start] = dev;
    this.#numbers[start + 1] = ino;
    this.#numbers[start + 2] = birthtimeNs;
    this.#numbers[start + 3] = mtimeNs;
    this.#numbers[start + 4] = mtimeMs;
    return this.#count++;
  }

  /** The file system that it is on. */
  device(place: number): bigint {
    return this.#numbers[NUMBERS * place]!;
  }

  /** When it was modified: milliseconds since 1970. */
  modified(place: number): number {
    return Number(this.#numbers[NUMBERS * place + 4]);
  }

  /** Whether this is that file. By its birth too: a new file often gets the inode of one that was just deleted. */
  isSameFile(place: number, { dev, ino, birthtimeNs }: Stats): boolean {
    return this.#has(place, 0, dev) && this.#has(place, 1, ino) && this.#has(place, 2, birthtimeNs);
  }

  isUnmodified(place: number, { mtimeNs }: Stats): boolean {
    return this.#has(place, 3, mtimeNs);
  }

  #has(place: number, number: number, value: bigint): boolean {
    return this.#numbers[NUMBERS * place + number] === BigInt.asIntN(64, value);
  }
}
