import { writeSync } from 'node:fs';
import type { Progress } from '../engine/options.js';
import type { Request } from './arguments.js';

/** Tells how far a copy is. */
export interface Teller {
  update(progress: Progress): void;
  /** The last word; after it, other messages have their place. */
  end(): void;
}

const SILENT: Teller = { update: () => undefined, end: () => undefined };

/** What the progress is of. */
export type Phase = 'copy' | 'verify' | 'checksum';

export async function tellerFor(
  wish: Request['progress'],
  size: bigint | undefined,
  phase: Phase = 'copy',
): Promise<Teller> {
  const kind = wish ?? (process.stderr.isTTY ? 'bar' : 'none');
  if (kind === 'none') return SILENT;
  if (kind === 'bar') {
    // Loading it takes 8 ms, which scripts need not wait for.
    const { bar } = await import('./progress-bar.js');
    return bar(size, phase);
  }
  if (kind === 'json') return everySoOften(500, asJson(Date.now(), phase));
  return everySoOften(200, asPercent(kind));
}

/** Calls `tell` with the newest state, and at the end. */
export function everySoOften(milliseconds: number, tell: (progress: Progress) => void): Teller {
  let latest: Progress | undefined;
  const now = () => {
    if (latest) tell(latest);
  };
  const timer = setInterval(now, milliseconds).unref();
  return {
    update(progress) {
      latest = progress;
    },
    end() {
      clearInterval(timer);
      now();
    },
  };
}

function asJson(since: number, phase: Phase): (progress: Progress) => void {
  return ({ size, done, read, written }) => {
    const seconds = (Date.now() - since) / 1000;
    // By hand: JSON.stringify refuses bigints.
    const fields = `"phase":"${phase}","done":${done},"size":${size ?? 'null'},"read":${read},"written":${written},"seconds":${seconds}`;
    process.stderr.write(`{${fields}}\n`);
  };
}

/** As nbdcopy's `--progress=FD`. */
function asPercent(fd: number): (progress: Progress) => void {
  return ({ size, done }) => {
    writeSync(fd, `${percent(done, size)}/100\n`);
  };
}

function percent(done: bigint, size: bigint | undefined): number {
  if (size === undefined) return 0;
  return size === 0n ? 100 : Number((done * 100n) / size);
}
