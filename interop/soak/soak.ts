import { parseArgs } from 'node:util';
import { soak, type SoakState } from './run-soak.js';

// npm run soak -- --minutes 10 --connections 200 --seed 1
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    connections: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() >>> 0) },
  },
});
const [minutes, connections, seed] = [
  Number(values.minutes),
  Number(values.connections),
  Number(values.seed),
];
const end = performance.now() + minutes * 60_000;
const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** The first tenth is for warming up. */
function judge(rss: readonly number[]): { first: number; last: number; most: number } {
  const quarter = Math.ceil(rss.length / 4);
  return {
    first: median(rss.slice(Math.ceil(rss.length / 10)).slice(0, quarter)),
    last: median(rss.slice(-quarter)),
    most: Math.max(...rss),
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** Bytes that a process at work may have more or less at any time. */
const TOLERANCE = 32 << 20;

let nextReport = 0;
const report = ({ visits, requests, rss, descriptors }: SoakState) => {
  if (performance.now() < nextReport) return;
  nextReport = performance.now() + (minutes * 60_000) / 20;
  console.log(`${visits} connections, ${requests} requests, ${mebibytes(rss)}, ${descriptors} descriptors`);
};
console.log(`${connections} connections at once for ${minutes} min, seed ${seed}`);
const { visits, requests, descriptors, rss } = await soak({
  connections,
  seed,
  goesOn: () => performance.now() < end,
  report,
});
const { first, last, most } = judge(rss);
console.log(`${visits} connections, ${requests} requests, nothing wrong`);
console.log(`memory: ${mebibytes(first)} early on, ${mebibytes(last)} late, ${mebibytes(most)} at most`);
console.log(`file descriptors: ${descriptors[0]} before, ${descriptors[1]} after`);
if (last > first + TOLERANCE || descriptors[1] > descriptors[0]) {
  console.error('soak: something is not given back');
  process.exitCode = 1;
}
