import { BASE_ALLOCATION } from '@nbd/protocol';
import type { Extent } from '../extents.js';

/** What the flags of an extent mean, as nbdinfo says it; undefined if nobody knows. */
export function meaningOf(context: string, flags: number): string | undefined {
  if (context === BASE_ALLOCATION) return ['data', 'hole', 'zero', 'hole,zero'][flags];
  if (context.startsWith('qemu:dirty-bitmap:')) return ['clean', 'dirty'][flags];
  if (context === 'qemu:allocation-depth') {
    return ['unallocated', 'local'][flags] ?? `backing depth ${flags}`;
  }
  return undefined;
}

/** One extent as a line, in nbdinfo's columns. */
export function extentLine(context: string, { offset, length, flags }: Extent): string {
  const columns = [String(offset).padStart(10), String(length).padStart(12), String(flags).padStart(5)];
  return `${columns.join('')}  ${meaningOf(context, flags) ?? ''}`.trimEnd();
}

/** One extent as nbdinfo's JSON has it. */
export function extentJson(context: string, { offset, length, flags }: Extent): object {
  const description = meaningOf(context, flags);
  return { offset, length, type: flags, ...(description !== undefined && { description }) };
}

/** The sum of each kind of extent. */
export class Totals {
  readonly #size: bigint;
  readonly #sums = new Map<number, bigint>();

  /** @param size of the disk in bytes */
  constructor(size: bigint) {
    this.#size = size;
  }

  add({ length, flags }: Extent): void {
    this.#sums.set(flags, (this.#sums.get(flags) ?? 0n) + length);
  }

  lines(context: string): string[] {
    return this.#sorted().map(([flags, sum]) => {
      const percent = `${this.#percent(sum).toFixed(1)}%`;
      const columns = [String(sum).padStart(10), percent.padStart(6), String(flags).padStart(3)];
      return `${columns.join(' ')} ${meaningOf(context, flags) ?? ''}`.trimEnd();
    });
  }

  json(context: string): object[] {
    return this.#sorted().map(([flags, sum]) => {
      const description = meaningOf(context, flags);
      return {
        size: sum,
        percent: this.#percent(sum),
        type: flags,
        ...(description !== undefined && { description }),
      };
    });
  }

  #sorted(): [number, bigint][] {
    return [...this.#sums].sort(([a], [b]) => a - b);
  }

  /** To six digits, which a number has room for whatever the size. */
  #percent(sum: bigint): number {
    return this.#size === 0n ? 0 : Number((sum * 100_000_000n) / this.#size) / 1_000_000;
  }
}
