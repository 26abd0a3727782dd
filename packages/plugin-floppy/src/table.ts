import type { FatType } from './geometry.js';

/**
 * Which clusters are in use: those from 2 on, without a gap. Each file and directory is a chain of clusters that follow
 * each other, so that all there is to know is where each chain starts, ascending, and at the end the first free cluster.
 */
export type Chains = Uint32Array;

/** The number of the chain that a cluster in use belongs to. */
export function chainOf(cluster: number, starts: Chains): number {
  let low = 0;
  let high = starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= cluster) low = middle;
    else high = middle;
  }
  return low;
}

/** The file allocation table, computed where it is read. FAT specification, "FAT Data Structure". */
export class Table {
  /** From its start; all behind it is zero. */
  readonly usedBytes: number;
  readonly #type: FatType;
  readonly #media: number;
  readonly #starts: Chains;

  constructor(type: FatType, media: number, starts: Chains) {
    this.#type = type;
    this.#media = media;
    this.#starts = starts;
    this.usedBytes = Math.ceil((starts.at(-1)! * type) / 8);
  }

  /** Fills `into` with the table's bytes from `at` on. */
  read(at: number, into: Uint8Array): void {
    // Two entries of FAT12 are three bytes. What is cut at either end is computed whole, aside.
    const unit = this.#type === 12 ? 3 : this.#type / 8;
    const before = at % unit;
    const length = Math.ceil((before + into.length) / unit) * unit;
    if (length === into.length) {
      this.#compute(at, into);
    } else {
      const whole = new Uint8Array(length);
      this.#compute(at - before, whole);
      into.set(whole.subarray(before, before + into.length));
    }
  }

  #compute(at: number, into: Uint8Array): void {
    into.fill(0);
    const put = PUT[this.#type];
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    const first = (at * 8) / this.#type;
    const end = Math.min(first + (into.length * 8) / this.#type, this.#starts.at(-1)!);
    const endOfChain = END_OF_CHAIN[this.#type];

    let cluster = first;
    // No cluster has these numbers: the media descriptor in bits that are set, and "shut down cleanly, no errors".
    if (cluster === 0 && cluster < end) put(view, cluster++ - first, (endOfChain & ~0xff) | this.#media);
    if (cluster === 1 && cluster < end) put(view, cluster++ - first, endOfChain);
    for (let chain = chainOf(cluster, this.#starts); cluster < end; chain++) {
      const last = this.#starts[chain + 1]! - 1;
      for (const stop = Math.min(last, end); cluster < stop; cluster++)
        put(view, cluster - first, cluster + 1);
      if (cluster < end) put(view, cluster++ - first, endOfChain);
    }
  }
}

const END_OF_CHAIN: Record<FatType, number> = { 12: 0xfff, 16: 0xffff, 32: 0x0fff_ffff };

/** Writes an entry into a part of the table that is all zero. */
const PUT: Record<FatType, (view: DataView, index: number, value: number) => void> = {
  12: (view, index, value) => {
    const at = (index * 3) >> 1;
    const shifted = (index & 1) === 0 ? value : value << 4;
    view.setUint8(at, view.getUint8(at) | (shifted & 0xff));
    view.setUint8(at + 1, view.getUint8(at + 1) | (shifted >> 8));
  },
  16: (view, index, value) => {
    view.setUint16(index * 2, value, true);
  },
  32: (view, index, value) => {
    view.setUint32(index * 4, value, true);
  },
};
