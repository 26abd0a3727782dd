import type * as Koffi from 'koffi';

/** A C function as koffi makes it. */
export type NativeFunction = ReturnType<Koffi.LibraryHandle['func']>;

/** koffi takes 256 calls at a time, and throws beyond. */
const MOST_AT_ONCE = 64;

/** Makes koffi's calls on its threads; those that are too many wait for their turn. */
export class OffThread {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  async call(func: NativeFunction, values: readonly unknown[]): Promise<number> {
    while (this.running >= MOST_AT_ONCE) await new Promise<void>((next) => this.waiting.push(next));
    this.running++;
    try {
      return await new Promise((resolve, reject) => {
        func.async(...values, (error: Error | null, result: number) => {
          if (error === null) resolve(result);
          else reject(error);
        });
      });
    } finally {
      this.running--;
      this.waiting.shift()?.();
    }
  }
}
