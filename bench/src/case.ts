import type { Peer, Server } from '../../interop/harness/index.js';
import type { Scope } from './scope.js';

/** What a figure counts, and whether more of it is better. */
export type Unit = 'B/s' | 'IOPS' | 's' | 'B';

/** One thing to measure: ours, and beside it what others make of the same task. */
export interface Case {
  /** What it is called on the command line. */
  readonly name: string;
  /** What is measured, in half a line. */
  readonly what: string;
  readonly unit: Unit;
  /** The ratio to the first of the others that we want, 1 for as good; more is better. */
  readonly target?: number;
  /** Ours is the first. */
  readonly contenders: readonly Contender[];
}

export interface Contender {
  readonly name: string;
  /** Programs without which it is left out. */
  readonly needs: readonly Peer[];
  /** Gets everything ready, once. What it starts or makes goes to `scope`, which lives as long as the case. */
  prepare(scope: Scope): Promise<Prepared>;
}

export interface Prepared {
  /** Its processor time and memory are part of the report. */
  readonly server?: Pick<Server, 'pid'>;
  /** Runs the case once: a second or two. Resolves to the figure, in the unit of the case. */
  run(): Promise<Run | number>;
}

/** A run that found out more than its figure. */
export interface Run {
  readonly figure: number;
  /** Bytes: the most memory that the process had that was measured, if it is not `server`. */
  readonly peak?: number;
}
