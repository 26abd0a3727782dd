/** Numbers that look random and are the same for the same seed: mulberry32 (Tommy Ettinger, public domain). */
export class Random {
  #state: number;

  /** @param seed 32 bits of it count. */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 to `limit - 1`; `limit` is at least 1 and at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  /** 0 to `limit - 1`; `limit` is at least 1. */
  belowBig(limit: bigint): bigint {
    return ((BigInt(this.#next()) << 32n) | BigInt(this.#next())) % limit;
  }

  /** 1 to `limit`, as often small as large: the bit length is what is evenly spread. */
  upTo(limit: number): number {
    return 1 + this.below(Math.min(limit, 2 ** this.below(Math.ceil(Math.log2(limit)) + 1)));
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Bytes of which none is 0, so that one that gets lost shows. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = 1 + this.below(255);
    return bytes;
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}
