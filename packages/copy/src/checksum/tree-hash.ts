import { createHash } from 'node:crypto';
import { isZero } from '../engine/zeroes.js';

/** Bytes of a block, the leaf of the tree. */
export const BLOCK_SIZE = 65_536;

/** Bytes of a hash. */
export const HASH_SIZE = 32;

/** What a hash begins with says what it is of, as in RFC 6962, section 2.1, where there is no root of its own. */
const BLOCK = Buffer.of(0);
const NODE = Buffer.of(1);
const ROOT = Buffer.of(2);

const ZERO_BLOCK = Buffer.alloc(BLOCK_SIZE);

/** A disk has at most 2^63 - 1 bytes, 2^47 blocks. */
const TALLEST = 47;

/** The hashes of trees of 2^height blocks, all zero, by height. */
const ZERO_TREES: readonly Buffer[] = zeroTrees();

function zeroTrees(): Buffer[] {
  const trees = [sha256(BLOCK, ZERO_BLOCK)];
  for (let height = 1; height <= TALLEST; height++) trees.push(sha256(NODE, trees.at(-1)!, trees.at(-1)!));
  return trees;
}

/** The hash of one block. One that is short, the last of a disk, counts as filled up with zeroes. */
export function hashBlock(bytes: Uint8Array): Buffer {
  if (isZero(bytes, 0, bytes.length)) return ZERO_TREES[0]!;
  if (bytes.length === BLOCK_SIZE) return sha256(BLOCK, bytes);
  return sha256(BLOCK, bytes, ZERO_BLOCK.subarray(bytes.length));
}

/**
 * The hash of a disk as a binary Merkle tree, from its blocks in order. Zeroes cost next to nothing: a tree that is
 * all zero has a hash that is known, however tall it is. README, "The tree checksum", is the specification.
 */
export class TreeHash {
  /** What is complete, from the left, each at most as tall as the one before it is. Equals have been joined. */
  readonly #trees: { readonly height: number; readonly hash: Uint8Array }[] = [];
  #blocks = 0n;

  /** Adds the next blocks, by their hashes, one after the other. */
  addHashes(hashes: Uint8Array): void {
    for (let at = 0; at < hashes.length; at += HASH_SIZE) {
      this.#add(0, hashes.subarray(at, at + HASH_SIZE));
    }
  }

  /** Adds so many blocks that are all zero. */
  addZeroes(blocks: bigint): void {
    for (let rest = blocks; rest > 0n;) {
      let height = 0;
      // The tallest tree that may begin here, and is not too many.
      while ((this.#blocks >> BigInt(height)) % 2n === 0n && rest >> BigInt(height + 1) > 0n) height++;
      this.#add(height, ZERO_TREES[height]!);
      rest -= 1n << BigInt(height);
    }
  }

  /** The hash of a disk of `size` bytes, all of whose blocks were added. Nothing can be added any more. */
  root(size: bigint): Buffer {
    if (this.#blocks === 0n) this.addZeroes(1n);
    while (this.#trees.length > 1) {
      const { height } = this.#trees.at(-1)!;
      this.#add(height, ZERO_TREES[height]!);
    }
    const sizeBytes = Buffer.alloc(8);
    sizeBytes.writeBigUInt64BE(size);
    return sha256(ROOT, sizeBytes, this.#trees[0]!.hash);
  }

  #add(height: number, hash: Uint8Array): void {
    this.#blocks += 1n << BigInt(height);
    let tree = { height, hash };
    while (this.#trees.at(-1)?.height === tree.height) {
      const left = this.#trees.pop()!;
      tree = { height: tree.height + 1, hash: sha256(NODE, left.hash, tree.hash) };
    }
    this.#trees.push(tree);
  }
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
