import type { Chain } from './chain.js';
import { instantiateKernels, kernelMemory } from './kernels.js';
import { jumpPolynomial, seededState } from './xoshiro.js';

/** Blocks that are walked in one go: 256 MiB of disk. */
export const WINDOW = 65_536;

const LANES = 4;
const STRETCH_EXPONENT = 14;
/** Each lane walks a quarter of the window. */
const STRETCH = 2 ** STRETCH_EXPONENT;

/** Addresses in the kernels' memory. */
const STATE = 0;
const COUNTS = STATE + 32 * LANES;
/** The polynomials for 2^0, 2^1, … stretches, 32 bytes each; a disk of 2^63 bytes has 2^37 stretches. */
const POLYNOMIALS = 256;
const NOTES = 4096;
const MEMORY_SIZE = NOTES + 4 * WINDOW;

/**
 * Draws the numbers of any window's blocks, and picks out the few that can change the state.
 *
 * The window's four quarters are drawn at the same time, by four generators that are a quarter apart. They stay that
 * far apart and jump together.
 */
export class Walker {
  readonly #memory = kernelMemory(MEMORY_SIZE);
  readonly #kernels = instantiateKernels(this.#memory);
  readonly #words = new BigUint64Array(this.#memory.buffer, 0, NOTES / 8);
  readonly #counts = new Uint32Array(this.#memory.buffer, COUNTS, LANES);
  readonly #notes = new Uint32Array(this.#memory.buffer, NOTES, WINDOW);
  /** The generators' state before the first window. */
  readonly #start: BigUint64Array;
  readonly #low: bigint;
  readonly #high: bigint;
  /** Where the first generator is, in stretches from the start of the disk. */
  #position = 0;
  #polynomialsReady = 0;

  constructor(seed: number, { leaveData, leaveHole }: Chain) {
    this.#low = leaveData < leaveHole ? leaveData : leaveHole;
    this.#high = leaveData < leaveHole ? leaveHole : leaveData;

    const seeded = seededState(BigInt(seed));
    const lanes = new BigUint64Array(4 * LANES);
    for (let i = 0; i < lanes.length; i++) this.#words[i] = seeded[i >> 2]!;
    for (let lane = 0; lane < LANES; lane++) {
      for (let i = lane; i < lanes.length; i += LANES) lanes[i] = this.#words[i]!;
      this.#jump(0);
    }
    this.#start = lanes;
    this.#words.set(lanes);
  }

  /**
   * Calls `visit` for each draw of the window that changes some state, in order.
   * @param visit gets the block after which it was drawn, from 0 to WINDOW - 1 within the window, and whether it
   * changes either state; otherwise it changes only the one that is easier to leave.
   */
  walk(window: number, visit: (block: number, either: boolean) => void): void {
    this.#seek(window * LANES);
    this.#kernels.walk(STATE, STRETCH, this.#low, this.#high, NOTES, COUNTS);
    this.#position++;
    for (let lane = 0; lane < LANES; lane++) {
      const first = lane * STRETCH;
      const end = first + this.#counts[lane]!;
      for (let i = first; i < end; i++) {
        const note = this.#notes[i]!;
        visit(note >>> 1, (note & 1) === 1);
      }
    }
  }

  #seek(position: number): void {
    if (position < this.#position) {
      this.#words.set(this.#start);
      this.#position = 0;
    }
    let ahead = position - this.#position;
    for (let exponent = 0; ahead > 0; exponent++) {
      if (ahead % 2 === 1) this.#jump(exponent);
      ahead = Math.floor(ahead / 2);
    }
    this.#position = position;
  }

  /** Moves all generators by 2^exponent stretches. */
  #jump(exponent: number): void {
    for (; this.#polynomialsReady <= exponent; this.#polynomialsReady++) {
      let polynomial = jumpPolynomial(STRETCH_EXPONENT + this.#polynomialsReady);
      const first = (POLYNOMIALS + 32 * this.#polynomialsReady) / 8;
      for (let word = first; word < first + 4; word++, polynomial >>= 64n) this.#words[word] = polynomial;
    }
    this.#kernels.jump(STATE, POLYNOMIALS + 32 * exponent);
  }
}
