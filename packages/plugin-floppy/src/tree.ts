import type { ByteString } from './byte-string.js';
import { FileTable } from './file-table.js';

/** A directory of the tree that becomes a disk. */
export class Directory {
  /** Of the root, the path that it was found at. */
  readonly name: ByteString;
  /** Undefined for the root. */
  readonly parent: Directory | undefined;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** Of files, the names. In the order of their names' bytes, whatever order the file system has them in. */
  readonly children: (Directory | ByteString)[] = [];
  /** What else is known of the files, at the same places. */
  readonly files = new FileTable();
  /** Where it is on the disk; 0 until it is placed, and for a root of FAT12 and FAT16. */
  firstCluster = 0;

  constructor(name: ByteString, parent: Directory | undefined, modified: number) {
    this.name = name;
    this.parent = parent;
    this.modified = modified;
  }
}

/** Where a file is in the tree. Trees have very many, so that none of them keeps an object. */
export interface File {
  readonly parent: Directory;
  /** Among the children of its directory. */
  readonly place: number;
}

export function nameOf(child: Directory | ByteString): ByteString {
  return typeof child === 'string' ? child : child.name;
}

/** Where a directory is in the file system. */
export function pathOf({ parent, name }: Directory): ByteString {
  return parent === undefined ? name : `${pathOf(parent)}/${name}`;
}

/** Where a child of a directory is in the file system. */
export function pathOfChild({ parent, place }: File): ByteString {
  return `${pathOf(parent)}/${nameOf(parent.children[place]!)}`;
}

/** The files of a tree that have bytes, in its order. */
export class FileList {
  readonly #directories: readonly Directory[];
  /** Each one's directory, and its place there. */
  readonly #owners: Uint32Array;
  readonly #places: Uint32Array;

  constructor(directories: readonly Directory[]) {
    let most = 0;
    for (const { children } of directories) most += children.length;
    const owners = new Uint32Array(most);
    const places = new Uint32Array(most);
    let count = 0;
    for (const [owner, { children, files }] of directories.entries()) {
      for (let place = 0; place < children.length; place++) {
        if (files.sizes[place] === 0) continue;
        owners[count] = owner;
        places[count++] = place;
      }
    }
    this.#directories = directories;
    this.#owners = owners.subarray(0, count);
    this.#places = places.subarray(0, count);
  }

  get length(): number {
    return this.#owners.length;
  }

  at(number: number): File {
    return { parent: this.#directories[this.#owners[number]!]!, place: this.#places[number]! };
  }

  /** In bytes. */
  size(number: number): number {
    return this.#directories[this.#owners[number]!]!.files.sizes[this.#places[number]!]!;
  }
}
