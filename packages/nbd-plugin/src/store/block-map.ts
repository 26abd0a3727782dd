/** Nothing was stored: a hole, or what the backing has. */
export const ABSENT = 0;
/** Zeroes, and no memory taken for them. Told from `ABSENT` over a backing only. */
export const HOLE = 1;
/** Zeroes whose memory is promised: counted, but not taken before they are written. */
export const RESERVED = 2;
/** Entries from here on are slots: `FIRST_SLOT + slot`. */
export const FIRST_SLOT = 3;

/** Entries of a node, 6 bits of the block's number. Smaller nodes waste less on scattered blocks. */
const FAN_OUT = 64;
/** Nodes live in chunks of this many, 256 KiB each. */
const CHUNK_NODES = 1024;

interface Chunk {
  readonly entries: Uint32Array;
  /** For each node, how many of its entries are not `ABSENT`. */
  readonly counts: Uint8Array;
}

/** Blocks in a row that have the same entry, or that all have slots. */
export interface Run {
  readonly entry: number;
  /** The first block that is not part of it. */
  readonly end: number;
}

/**
 * What each block of a disk is: up to 2^51 blocks, as a radix tree in typed arrays. An entry above the lowest level
 * is a node (`FIRST_SLOT + node`), or stands for all the blocks under it: a hole of any size is a few entries.
 * Walking down costs a step for every 6 bits of the disk's size in blocks, so 4 steps for 64 GiB and 9 for 7 EiB.
 */
export class BlockMap {
  /** Blocks whose entry is `RESERVED`. */
  reserved = 0;
  private readonly blocks: number;
  private readonly releaseSlot: (slot: number) => void;
  /** Levels above the leaves. */
  private readonly height: number;
  private readonly chunks: Chunk[] = [];
  private nodes = 0;
  private readonly freeNodes: number[] = [];
  // The leaf that was looked up last: blocks are mostly asked for in order.
  private cachedLeaf = -1;
  private cachedEntries: Uint32Array = new Uint32Array(0);
  private cachedBase = 0;

  constructor(blocks: number, releaseSlot: (slot: number) => void) {
    this.blocks = blocks;
    this.releaseSlot = releaseSlot;
    let height = 0;
    while (SPANS[height + 1]! < blocks) height++;
    this.height = height;
    this.addNode(ABSENT); // the root is node 0
  }

  get(block: number): number {
    const leaf = Math.floor(block / FAN_OUT);
    if (leaf !== this.cachedLeaf) {
      let node = 0;
      for (let level = this.height; level > 0; level--) {
        const entry = this.entryAt(node, digit(block, level));
        if (entry < FIRST_SLOT) return entry;
        node = entry - FIRST_SLOT;
      }
      this.cachedLeaf = leaf;
      this.cachedEntries = this.chunkOf(node).entries;
      this.cachedBase = baseOf(node);
    }
    return this.cachedEntries[this.cachedBase + (block - leaf * FAN_OUT)]!;
  }

  /** Gives a slot to a block. If it had one, that is not released. */
  setSlot(block: number, slot: number): void {
    let node = 0;
    for (let level = this.height; level > 0; level--) node = this.childAt(node, digit(block, level));
    const index = digit(block, 0);
    if (this.entryAt(node, index) === RESERVED) this.reserved--;
    this.put(node, index, FIRST_SLOT + slot);
  }

  /** Makes the blocks from `start` up to `end` all `ABSENT`, `HOLE` or `RESERVED`, and releases their slots. */
  fill(start: number, end: number, entry: number): void {
    this.cachedLeaf = -1;
    this.fillNode(0, this.height, start, end, entry);
  }

  /** The run that `block` begins or is in the midst of. It may end sooner than it could: at a node's end. */
  runAt(block: number): Run {
    let node = 0;
    for (let level = this.height; ; level--) {
      let index = digit(block, level);
      const entry = this.entryAt(node, index);
      if (level > 0 && entry >= FIRST_SLOT) {
        node = entry - FIRST_SLOT;
        continue;
      }
      do index++;
      while (index < FAN_OUT && sameRun(entry, this.entryAt(node, index), level));
      const nodeStart = Math.floor(block / SPANS[level + 1]!) * SPANS[level + 1]!;
      return { entry, end: Math.min(nodeStart + index * SPANS[level]!, this.blocks) };
    }
  }

  /** `start` and `end` count from the node's first block. */
  private fillNode(node: number, level: number, start: number, end: number, entry: number): void {
    const span = SPANS[level]!;
    for (let index = Math.floor(start / span); index * span < end; index++) {
      if (this.entryAt(node, index) === entry) continue;
      const first = index * span;
      if (start <= first && end >= first + span) {
        this.release(this.entryAt(node, index), level);
        this.put(node, index, entry);
        if (entry === RESERVED) this.reserved += span;
      } else {
        const child = this.childAt(node, index);
        this.fillNode(child, level - 1, Math.max(start - first, 0), Math.min(end - first, span), entry);
        if (this.chunkOf(child).counts[child % CHUNK_NODES] === 0) {
          this.freeNodes.push(child);
          this.put(node, index, ABSENT);
        }
      }
    }
  }

  /** Lets go of all that an entry stands for. */
  private release(entry: number, level: number): void {
    if (entry === RESERVED) {
      this.reserved -= SPANS[level]!;
    } else if (entry >= FIRST_SLOT && level === 0) {
      this.releaseSlot(entry - FIRST_SLOT);
    } else if (entry >= FIRST_SLOT) {
      const node = entry - FIRST_SLOT;
      for (let index = 0; index < FAN_OUT; index++) this.release(this.entryAt(node, index), level - 1);
      this.freeNodes.push(node);
    }
  }

  /** The node below, made if there is none: its entries then are what the one entry was. */
  private childAt(node: number, index: number): number {
    const entry = this.entryAt(node, index);
    if (entry >= FIRST_SLOT) return entry - FIRST_SLOT;
    const child = this.addNode(entry);
    this.put(node, index, FIRST_SLOT + child);
    return child;
  }

  private addNode(entry: number): number {
    const node = this.freeNodes.pop() ?? this.nodes++;
    if (node >= this.chunks.length * CHUNK_NODES) {
      this.chunks.push({
        entries: new Uint32Array(CHUNK_NODES * FAN_OUT),
        counts: new Uint8Array(CHUNK_NODES),
      });
    }
    const chunk = this.chunkOf(node);
    chunk.entries.fill(entry, baseOf(node), baseOf(node) + FAN_OUT);
    chunk.counts[node % CHUNK_NODES] = entry === ABSENT ? 0 : FAN_OUT;
    return node;
  }

  private put(node: number, index: number, entry: number): void {
    const { entries, counts } = this.chunkOf(node);
    const at = baseOf(node) + index;
    counts[node % CHUNK_NODES]! += Number(entry !== ABSENT) - Number(entries[at] !== ABSENT);
    entries[at] = entry;
  }

  private entryAt(node: number, index: number): number {
    return this.chunkOf(node).entries[baseOf(node) + index]!;
  }

  private chunkOf(node: number): Chunk {
    return this.chunks[Math.floor(node / CHUNK_NODES)]!;
  }
}

/** Blocks that an entry stands for, by its level; the leaves are level 0. 2^51 blocks need 9 levels. */
const SPANS = Array.from({ length: 10 }, (_, level) => FAN_OUT ** level);

/** The index on `level` of a block, in 32-bit arithmetic: 30 bits are 5 levels. */
function digit(block: number, level: number): number {
  const high = Math.floor(block / 2 ** 30);
  return (level < 5 ? (block - high * 2 ** 30) >>> (6 * level) : high >>> (6 * (level - 5))) & (FAN_OUT - 1);
}

function baseOf(node: number): number {
  return (node % CHUNK_NODES) * FAN_OUT;
}

function sameRun(one: number, other: number, level: number): boolean {
  return one < FIRST_SLOT ? one === other : level === 0 && other >= FIRST_SLOT;
}
