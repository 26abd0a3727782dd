import type { LocatedSink } from '@nbd/protocol';
import type { FileReader } from './files.js';
import { SECTOR } from './geometry.js';
import type { Layout } from './layout.js';
import { chainOf } from './table.js';

/**
 * Files that one read has open at the same time. It is not all of them because that may be thousands, and there may be
 * hundreds of reads; and libuv has but four threads to read with.
 */
const FILES_AT_ONCE = 8;

/** What clusters are filled up with: the largest have 64 KiB. */
const ZEROES = new Uint8Array(64 << 10);

/** The clusters that are in use: directories and files, one chain behind the other. Bytes count from the first. */
export class Clusters {
  readonly #layout: Layout;
  readonly #files: FileReader;
  readonly #size: number;

  constructor(layout: Layout, files: FileReader) {
    this.#layout = layout;
    this.#files = files;
    this.#size = layout.geometry.sectorsPerCluster * SECTOR;
  }

  /** Fills `into` with the bytes from `at` on. */
  read(at: number, into: Uint8Array): void | Promise<void> {
    const chain = this.#chainAt(at);
    return at + into.length <= this.#startOf(chain + 1)
      ? this.#readChain(chain, at, into)
      : this.#readChains(chain, at, into);
  }

  /** As `BlockDevice.locate`. */
  locate(at: number, length: number, sink: LocatedSink): boolean {
    const end = at + length;
    for (let chain = this.#chainAt(at); at < end; chain++) {
      const stop = Math.min(end, this.#startOf(chain + 1));
      if (!this.#locateChain(chain, at, stop - at, sink)) return false;
      at = stop;
    }
    return true;
  }

  #startOf(chain: number): number {
    return (this.#layout.starts[chain]! - 2) * this.#size;
  }

  #chainAt(at: number): number {
    return chainOf(2 + Math.floor(at / this.#size), this.#layout.starts);
  }

  #readChain(chain: number, at: number, into: Uint8Array): void | Promise<void> {
    const { directories, files } = this.#layout;
    const position = at - this.#startOf(chain);
    if (chain < directories.length) {
      copy(directories[chain]!, position, into);
      return undefined;
    }
    const file = chain - directories.length;
    const length = Math.min(Math.max(files.size(file) - position, 0), into.length);
    // What is left of the last cluster.
    into.fill(0, length);
    return length === 0 ? undefined : this.#files.read(file, position, into.subarray(0, length));
  }

  async #readChains(chain: number, at: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const pending: Promise<void>[] = [];
      while (done < into.length && pending.length < FILES_AT_ONCE) {
        const part = into.subarray(done, this.#startOf(chain + 1) - at);
        const reading = this.#readChain(chain++, at + done, part);
        if (reading !== undefined) pending.push(reading);
        done += part.length;
      }
      await allOf(pending);
    }
  }

  #locateChain(chain: number, at: number, length: number, sink: LocatedSink): boolean {
    const { directories, files } = this.#layout;
    const position = at - this.#startOf(chain);
    if (chain < directories.length) {
      const bytes = new Uint8Array(length);
      copy(directories[chain]!, position, bytes);
      return sink.addBytes(bytes);
    }
    const file = chain - directories.length;
    const inFile = Math.min(Math.max(files.size(file) - position, 0), length);
    if (inFile > 0 && !this.#files.locate(file, position, inFile, sink)) return false;
    return inFile === length || sink.addBytes(ZEROES.subarray(0, length - inFile));
  }
}

/** With zeroes behind the end of `bytes`. */
export function copy(bytes: Uint8Array, at: number, into: Uint8Array): void {
  const part = bytes.subarray(at, at + into.length);
  into.set(part);
  into.fill(0, part.length);
}

/** Fails if one of them does, but not before all have come to an end: until then they write into the buffer. */
export async function allOf(pending: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(pending);
  const failure = results.find(({ status }) => status === 'rejected');
  if (failure !== undefined) throw (failure as PromiseRejectedResult).reason;
}
