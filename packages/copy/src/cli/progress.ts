import { writeSync } from 'node:fs';
import { Presets, SingleBar } from 'cli-progress';
import { formatSize } from '@nbd/protocol';
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

export function tellerFor(
  wish: Request['progress'],
  size: bigint | undefined,
  phase: Phase = 'copy',
): Teller {
  const kind = wish ?? (process.stderr.isTTY ? 'bar' : 'none');
  if (kind === 'none') return SILENT;
  if (kind === 'bar') return bar(size, phase);
  if (kind === 'json') return everySoOften(500, asJson(Date.now(), phase));
  return everySoOften(200, asPercent(kind));
}

/** Calls `tell` with the newest state, and at the end. */
function everySoOften(milliseconds: number, tell: (progress: Progress) => void): Teller {
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

const FORMAT = ' {phase}{bar} {percentage}%  {of}  {rate}/s  {eta_formatted} left';
const STREAM_FORMAT = ' {of}  {rate}/s  {duration_formatted}';

/** Rate and time left are those of the last few seconds: a disk's holes take none. */
function bar(size: bigint | undefined, phase: Phase): Teller {
  const known = size !== undefined;
  const line = new SingleBar(
    {
      format: known ? FORMAT : STREAM_FORMAT,
      hideCursor: true,
      fps: 8,
      etaBuffer: 30,
      stream: process.stderr,
    },
    Presets.shades_classic,
  );
  const label = phase === 'copy' ? '' : `${phase} `;
  const total = known ? formatSize(size) : '';
  line.start(Number(size ?? 0n) || 1, 0, { phase: label, of: '', rate: formatSize(0) });
  const rate = new Rate();
  const teller = everySoOften(125, ({ done }) => {
    const of = known ? `${formatSize(done)} of ${total}` : formatSize(done);
    line.update(size === 0n ? 1 : Number(done), { of, rate: formatSize(rate.at(done)) });
  });
  return {
    update(progress) {
      teller.update(progress);
    },
    end() {
      teller.end();
      line.stop();
    },
  };
}

/** How fast it went over the last seconds. */
class Rate {
  readonly #seen: { readonly time: number; readonly done: bigint }[] = [];

  /** @returns bytes per second */
  at(done: bigint): number {
    const now = Date.now();
    this.#seen.push({ time: now, done });
    while (this.#seen.length > 2 && now - this.#seen[0]!.time > 3000) this.#seen.shift();
    const [first] = this.#seen;
    const seconds = (now - first!.time) / 1000;
    return seconds === 0 ? 0 : Math.round(Number(done - first!.done) / seconds);
  }
}
