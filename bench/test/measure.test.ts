import { expect, test } from 'vitest';
import type { Case, Contender, Unit } from '../src/case.js';
import { measure, median } from '../src/measure.js';
import { rowsOf } from '../src/report.js';

/** Gives 1 to warm up, then the figures one after the other, and fails where one is undefined. */
function contender(name: string, ...figures: readonly (number | undefined)[]): Contender {
  const figuresOfRuns = [1, ...figures];
  let round = 0;
  return {
    name,
    needs: [],
    prepare: () =>
      Promise.resolve({
        run() {
          const figure = figuresOfRuns[round++];
          if (figure === undefined) throw new Error(`${name} broke\nsomewhere`);
          return Promise.resolve(figure);
        },
      }),
  };
}

async function rows(unit: Unit, contenders: readonly Contender[], target?: number) {
  const subject: Case = { name: 'case', what: '', unit, contenders, ...(target !== undefined && { target }) };
  const told: string[] = [];
  const result = await measure(subject, 3, (what) => told.push(what));
  return { told, table: rowsOf(subject, result) };
}

test('the median is the middle one, or what lies between the two', () => {
  expect(median([30, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 30])).toBe(3);
});

test('contenders take turns, and figures are medians with what they lie between', async () => {
  const { told, table } = await rows('B/s', [
    contender('ours', 3e9, 1e9, 2e9),
    contender('peer', 4e9, 4e9, 4e9),
  ]);
  expect(told.slice(2, 7)).toEqual([
    'case: ours, to warm up',
    'case: peer, to warm up',
    'case: ours, 1 of 3',
    'case: peer, 1 of 3',
    'case: ours, 2 of 3',
  ]);
  expect(table).toMatchObject([
    { name: 'ours', figure: '2.00 GB/s (1.00 – 3.00)', ratio: '' },
    { name: 'peer', figure: '4.00 GB/s (4.00 – 4.00)', ratio: '0.50' },
  ]);
});

test.each<[Unit, number]>([
  ['B/s', 2],
  ['IOPS', 2],
  ['s', 0.5],
  ['B', 0.5],
])('of %s, twice as much makes a ratio of %d', async (unit, expected) => {
  const { table } = await rows(unit, [contender('ours', 2, 2, 2), contender('peer', 1, 1, 1)]);
  expect(table[1]!.ratio).toBe(expected.toFixed(2));
});

test('a target is that of the first peer, and is missed by less', async () => {
  const three = (ours: number) => [
    contender('ours', ours, ours, ours),
    contender('first', 100, 100, 100),
    contender('second', 200, 200, 200),
  ];
  const missed = await rows('IOPS', three(94), 0.95);
  expect(missed.table.map((row) => row.ratio)).toEqual(['', '0.94 (target 0.95, missed)', '0.47']);
  const met = await rows('IOPS', three(95), 0.95);
  expect(met.table[1]!.ratio).toBe('0.95 (target 0.95)');
});

test('one that fails has its error instead of figures, and the others go on', async () => {
  const { table } = await rows('s', [contender('ours', 1, 1, 1), contender('peer', 1, undefined, 1)], 1);
  expect(table).toMatchObject([
    { name: 'ours', figure: '1.00 s (1.00 – 1.00)' },
    { name: 'peer', figure: 'peer broke', ratio: '' },
  ]);
});

test('one whose program is not there is left out', async () => {
  const missing = { ...contender('peer'), needs: ['no-such-program' as never] };
  const { table } = await rows('s', [contender('ours', 1, 1, 1), missing], 1);
  expect(table[1]).toMatchObject({ figure: 'needs no-such-program', ratio: '' });
});
