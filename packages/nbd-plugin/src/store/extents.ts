import { ExtentFlag, type Awaitable, type ExtentSink } from '@nbd/protocol';
import { ABSENT, FIRST_SLOT, RESERVED, type BlockMap } from './block-map.js';
import { BLOCK_SIZE } from './slots.js';
import type { Backing } from './sparse-store.js';

const DATA = 0;

/** Most runs and asks of the backing in one call, which bounds it to about a millisecond. */
const MAX_STEPS = 4096;

/** Describes what `map` and, where it has nothing, `backing` hold between two offsets. */
export function reportExtents(
  map: BlockMap,
  backing: Backing | undefined,
  size: bigint,
  start: bigint,
  end: bigint,
  sink: ExtentSink,
): Awaitable<void> {
  const merged = new Merged(start, sink);

  function walk(steps: number): Awaitable<void> {
    for (let step = steps; step < MAX_STEPS && merged.position < end && !merged.enough; step++) {
      const run = map.runAt(Number(merged.position / BigInt(BLOCK_SIZE)));
      const runEnd = min(BigInt(run.end) * BigInt(BLOCK_SIZE), size);
      if (run.entry !== ABSENT || backing === undefined) {
        merged.addUpTo(runEnd, flagsOf(run.entry));
      } else if (backing.extents === undefined) {
        merged.addUpTo(runEnd, DATA);
      } else {
        const asked = backing.extents(
          merged.position,
          min(runEnd, end) - merged.position,
          merged.upTo(runEnd),
        );
        if (asked !== undefined) return asked.then(() => walk(step + 1));
      }
    }
    merged.finish();
  }

  return walk(0);
}

function flagsOf(entry: number): number {
  if (entry >= FIRST_SLOT) return DATA;
  return entry === RESERVED ? ExtentFlag.ZERO : ExtentFlag.HOLE | ExtentFlag.ZERO;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Joins neighbours with the same flags on their way to a sink. */
class Merged {
  /** All up to here is described. */
  position: bigint;
  enough = false;
  private readonly sink: ExtentSink;
  private sent: bigint;
  private flags = -1;

  constructor(start: bigint, sink: ExtentSink) {
    this.position = start;
    this.sent = start;
    this.sink = sink;
  }

  addUpTo(end: bigint, flags: number): void {
    if (flags !== this.flags) {
      this.finish();
      this.flags = flags;
    }
    this.position = end;
  }

  /** A sink for what another device describes from `position` on; what lies beyond `end` is cut off. */
  upTo(end: bigint): ExtentSink {
    return {
      add: (length, flags) => {
        this.addUpTo(min(this.position + length, end), flags);
        return !this.enough && this.position < end;
      },
    };
  }

  /** Hands over what has been gathered. */
  finish(): void {
    if (this.position === this.sent || this.enough) return;
    this.enough = !this.sink.add(this.position - this.sent, this.flags);
    this.sent = this.position;
  }
}
