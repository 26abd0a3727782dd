import type { Range } from './ranges.js';
import type { Subject } from './subject.js';

/** What a part of a device must hold, as far as it is known: after a trim it is not. */
export class Model {
  readonly range: Range;
  readonly #bytes: Uint8Array;
  readonly #known: Uint8Array;

  private constructor(range: Range) {
    this.range = range;
    this.#bytes = new Uint8Array(range.length);
    this.#known = new Uint8Array(range.length).fill(1);
  }

  /** A model of what the device holds now. */
  static async of(subject: Subject, range: Range): Promise<Model> {
    const model = new Model(range);
    for (const piece of subject.ranges.pieces(range)) model.set(piece, await subject.read(piece));
    return model;
  }

  set(range: Range, bytes: Uint8Array): void {
    const at = this.#indexOf(range);
    this.#bytes.set(bytes, at);
    this.#known.fill(1, at, at + range.length);
  }

  forget(range: Range): void {
    const at = this.#indexOf(range);
    this.#known.fill(0, at, at + range.length);
  }

  /** Compares all of it with the device. */
  async check(subject: Subject, what: string): Promise<void> {
    for (const piece of subject.ranges.pieces(this.range))
      await this.checkRange(subject, piece, `after ${what}`);
  }

  async checkRange(subject: Subject, range: Range, when: string): Promise<void> {
    const at = this.#indexOf(range);
    const actual = await subject.read(range);
    for (let i = 0; i < actual.length; i++) {
      if (actual[i] === this.#bytes[at + i] || this.#known[at + i] === 0) continue;
      throw new Error(
        `byte ${range.offset + BigInt(i)} is ${actual[i]!} instead of ${this.#bytes[at + i]!} ${when}`,
      );
    }
  }

  #indexOf({ offset }: Range): number {
    return Number(offset - this.range.offset);
  }
}
