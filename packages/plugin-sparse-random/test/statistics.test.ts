import { expect, test } from 'vitest';
import { createMap } from '../src/map.js';

const SEEDS = 64;
const BLOCKS = 2 ** 18;

/** What comes of many seeds; the bounds below are five standard deviations of it. */
async function measure(percent: number, runBlocks: number) {
  let dataBlocks = 0;
  let runs = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    let before = false;
    await createMap({ seed, percent, runLength: BigInt(runBlocks * 4096) }).visit(
      0,
      BLOCKS,
      (data, first, end) => {
        if (data) dataBlocks += end - first;
        if (data && !before) runs++;
        before = data;
        return true;
      },
    );
  }
  return { percent: (100 * dataBlocks) / (SEEDS * BLOCKS), runBlocks: dataBlocks / runs };
}

test.each([
  { percent: 10, runBlocks: 16, percentOff: 0.2, runOff: 0.25 },
  { percent: 50, runBlocks: 64, percentOff: 0.5, runOff: 0.9 },
  { percent: 90, runBlocks: 100, percentOff: 0.17, runOff: 1.3 },
])(
  'over many seeds $percent % is data, in runs of $runBlocks blocks',
  async ({ percent, runBlocks, percentOff, runOff }) => {
    const measured = await measure(percent, runBlocks);

    expect(Math.abs(measured.percent - percent)).toBeLessThan(percentOff);
    expect(Math.abs(measured.runBlocks - runBlocks)).toBeLessThan(runOff);
  },
  60_000,
);
