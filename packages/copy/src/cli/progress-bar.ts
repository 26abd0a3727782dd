import { formatSize } from '@nbd/protocol';
import { Presets, SingleBar } from 'cli-progress';
import { everySoOften, type Phase, type Teller } from './progress.js';

const FORMAT = ' {phase}{bar} {percentage}%  {of}  {rate}/s  {eta_formatted} left';
const STREAM_FORMAT = ' {of}  {rate}/s  {duration_formatted}';

/** Rate and time left are those of the last few seconds: a disk's holes take none. */
export function bar(size: bigint | undefined, phase: Phase): Teller {
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
