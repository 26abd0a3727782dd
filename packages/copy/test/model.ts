import { ExtentFlag, type BlockDevice } from '@nbd/protocol';

export interface ModelOptions {
  /** Ranges that are reported as holes; all else is data, whatever it holds. */
  readonly holes?: readonly { readonly start: number; readonly end: number }[];
  /** Answers later, in an order of its own. */
  readonly delayed?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly withoutZero?: boolean;
}

/** A disk in memory that notes what is done to it. */
export class Model implements BlockDevice {
  readonly bytes: Uint8Array;
  readonly size: bigint;
  readonly info: NonNullable<BlockDevice['info']>;
  readonly calls: { what: string; start: number; length: number }[] = [];
  /** Calls under way at once, the most there were. */
  mostAtOnce = 0;
  #atOnce = 0;
  readonly #options: ModelOptions;
  readonly zero?: NonNullable<BlockDevice['zero']>;

  constructor(bytes: Uint8Array, options: ModelOptions = {}) {
    this.bytes = bytes;
    this.size = BigInt(bytes.length);
    this.#options = options;
    const minimum = options.minimum ?? 1;
    this.info = {
      blockSize: { minimum, preferred: Math.max(512, minimum), maximum: options.maximum ?? 1 << 25 },
    };
    if (options.withoutZero !== true) {
      this.zero = (offset, length) =>
        this.#do('zero', offset, Number(length), (start) =>
          this.bytes.fill(0, start, start + Number(length)),
        );
    }
  }

  read(offset: bigint, into: Uint8Array): void | Promise<void> {
    return this.#do('read', offset, into.length, (start) => {
      into.set(this.bytes.subarray(start, start + into.length));
    });
  }

  write(offset: bigint, from: Uint8Array): void | Promise<void> {
    return this.#do('write', offset, from.length, (start) => {
      this.bytes.set(from, start);
    });
  }

  flush(): void | Promise<void> {
    this.calls.push({ what: 'flush', start: 0, length: 0 });
  }

  extents(offset: bigint, _length: bigint, sink: Parameters<NonNullable<BlockDevice['extents']>>[2]): void {
    let at = Number(offset);
    for (const { start, end } of this.#options.holes ?? []) {
      if (end <= at) continue;
      if (start > at && !sink.add(BigInt(start - at), 0)) return;
      at = Math.max(at, start);
      if (!sink.add(BigInt(end - at), ExtentFlag.HOLE | ExtentFlag.ZERO)) return;
      at = end;
    }
    if (at < this.bytes.length) sink.add(BigInt(this.bytes.length - at), 0);
  }

  #do(what: string, offset: bigint, length: number, act: (start: number) => void): void | Promise<void> {
    const start = Number(offset);
    const minimum = this.#options.minimum ?? 1;
    if (start + length > this.bytes.length || start % minimum !== 0 || length % minimum !== 0) {
      throw new RangeError(`${what} of ${length} bytes at ${start}`);
    }
    this.calls.push({ what, start, length });
    if (this.#options.delayed !== true) {
      act(start);
      return;
    }
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    return new Promise((resolve) => {
      const later = () => {
        this.#atOnce--;
        act(start);
        resolve();
      };
      if (start % 3 === 0) setImmediate(later);
      else queueMicrotask(later);
    });
  }
}
