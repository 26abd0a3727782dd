import type { Case, Unit } from './case.js';
import { median, type Measured, type Result } from './measure.js';

/** A row of the table: what one contender made of a case. */
export interface Row {
  readonly name: string;
  readonly figure: string;
  /** How many times as good as this one ours is; empty for ours. */
  readonly ratio: string;
  readonly processor: string;
  readonly memory: string;
}

export function rowsOf({ unit, target }: Case, { contenders }: Result): Row[] {
  const [ours, ...others] = contenders;
  return [ours!, ...others].map((measured, at) => ({
    name: measured.name,
    figure: figureOf(measured, unit),
    ratio: at === 0 ? '' : ratioOf(ours!, measured, unit, at === 1 ? target : undefined),
    processor: [measured.serverTime, measured.clientTime]
      .filter((time) => time !== undefined)
      .map((time) => time.toFixed(2))
      .join(' + '),
    memory: measured.peak === undefined ? '' : `${Math.round(measured.peak / 2 ** 20)} MiB`,
  }));
}

export function printTable(each: Case, result: Result): void {
  console.log(`\n${each.name}: ${each.what}`);
  for (const { name, figure, ratio, processor, memory } of rowsOf(each, result)) {
    const cells = [name.padEnd(18), figure.padEnd(34), ratio.padEnd(24), processor.padEnd(14), memory];
    console.log(`  ${cells.join(' ')}`.trimEnd());
  }
}

/** The median, and what it lies between. */
function figureOf({ figures, failure }: Measured, unit: Unit): string {
  if (failure !== undefined) return failure.split('\n')[0]!;
  const [middle, least, most] = [median(figures), Math.min(...figures), Math.max(...figures)];
  const scale = SCALES[unit](middle);
  const show = (value: number) =>
    (value / scale.by).toPrecision(value / scale.by < 100 ? 3 : 4).replace(/\.$/, '');
  return `${show(middle)} ${scale.name} (${show(least)} – ${show(most)})`;
}

const SCALES: Record<Unit, (value: number) => { readonly by: number; readonly name: string }> = {
  'B/s': () => ({ by: 1e9, name: 'GB/s' }),
  IOPS: () => ({ by: 1000, name: 'k IOPS' }),
  s: (value) => (value < 1 ? { by: 1e-3, name: 'ms' } : { by: 1, name: 's' }),
  B: (value) => (value < 2 ** 20 ? { by: 2 ** 10, name: 'KiB' } : { by: 2 ** 20, name: 'MiB' }),
};

function ratioOf(ours: Measured, theirs: Measured, unit: Unit, target: number | undefined): string {
  if (ours.failure !== undefined || theirs.failure !== undefined) return '';
  const quotient = median(ours.figures) / median(theirs.figures);
  const ratio = unit === 'B/s' || unit === 'IOPS' ? quotient : 1 / quotient;
  if (target === undefined) return ratio.toFixed(2);
  return `${ratio.toFixed(2)} (target ${target}${ratio < target ? ', missed' : ''})`;
}
