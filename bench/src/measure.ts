import { has } from '../../interop/harness/index.js';
import type { Case, Contender, Prepared } from './case.js';
import { peakMemory, processorTime, processorTimeOfChildren } from './processes.js';
import { Scope } from './scope.js';

/** What one contender made of a case. */
export interface Measured {
  readonly name: string;
  /** Why there are no figures. */
  readonly failure?: string;
  /** One for each round, in the unit of the case. */
  readonly figures: readonly number[];
  /** Seconds of processor time of a run, medians: of the server, and of what it was measured with. */
  readonly serverTime?: number;
  readonly clientTime?: number;
  /** Bytes of memory that the server, or where there is none the program measured, had at most. */
  readonly peak?: number;
}

export interface Result {
  readonly name: string;
  readonly contenders: readonly Measured[];
}

/**
 * Measures a case: each contender in turn, `rounds` times, so that whatever else the machine does meets them all.
 * A round before those does not count: in a virtual machine, who first needs memory waits for the host to find it.
 * @param progress told what runs now
 */
export async function measure(
  { name, contenders }: Case,
  rounds: number,
  progress: (what: string) => void,
): Promise<Result> {
  await using scope = new Scope();
  const trials: Trial[] = [];
  for (const contender of contenders) {
    progress(`${name}: preparing ${contender.name}`);
    trials.push(await Trial.prepare(contender, scope));
  }
  for (const trial of trials) {
    progress(`${name}: ${trial.name}, to warm up`);
    await trial.warmUp();
  }
  for (let round = 1; round <= rounds; round++) {
    for (const trial of trials) {
      progress(`${name}: ${trial.name}, ${round} of ${rounds}`);
      await trial.run();
    }
  }
  return { name, contenders: trials.map((trial) => trial.measured()) };
}

/** A contender that is measured. Once it has failed it is left out, and the others go on. */
class Trial {
  readonly name: string;
  #prepared: Prepared | undefined;
  #failure: string | undefined;
  readonly #figures: number[] = [];
  readonly #serverTimes: number[] = [];
  readonly #clientTimes: number[] = [];
  #peak = 0;

  private constructor(name: string) {
    this.name = name;
  }

  static async prepare(contender: Contender, scope: Scope): Promise<Trial> {
    const trial = new Trial(contender.name);
    const missing = contender.needs.filter((peer) => !has(peer));
    if (missing.length > 0) trial.#failure = `needs ${missing.join(', ')}`;
    else await trial.#guard(async () => (trial.#prepared = await contender.prepare(scope)));
    return trial;
  }

  async warmUp(): Promise<void> {
    if (this.#failure === undefined) await this.#guard(() => this.#prepared!.run());
  }

  async run(): Promise<void> {
    if (this.#failure !== undefined) return;
    const prepared = this.#prepared!;
    const { server } = prepared;
    await this.#guard(async () => {
      const serverBefore = server ? processorTime(server.pid) : 0;
      const clientBefore = processorTimeOfChildren();
      const result = await prepared.run();
      const { figure, peak = 0 } = typeof result === 'number' ? { figure: result } : result;
      this.#figures.push(figure);
      this.#clientTimes.push(processorTimeOfChildren() - clientBefore);
      if (server) this.#serverTimes.push(processorTime(server.pid) - serverBefore);
      this.#peak = Math.max(this.#peak, server ? peakMemory(server.pid) : peak);
    });
  }

  measured(): Measured {
    const { name } = this;
    if (this.#failure !== undefined) return { name, failure: this.#failure, figures: [] };
    return {
      name,
      figures: this.#figures,
      clientTime: median(this.#clientTimes),
      ...(this.#serverTimes.length > 0 && { serverTime: median(this.#serverTimes) }),
      ...(this.#peak > 0 && { peak: this.#peak }),
    };
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
    }
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
