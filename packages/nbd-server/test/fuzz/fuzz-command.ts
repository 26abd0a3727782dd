import { parseArgs } from 'node:util';
import { fuzz } from './fuzz-many.js';

/** `npm run fuzz -- --sessions 200000 --seed 1` */
export async function fuzzCommand(session: (seed: number) => Promise<void>): Promise<void> {
  const { values } = parseArgs({
    options: {
      sessions: { type: 'string', default: '20000' },
      seed: { type: 'string', default: String(Date.now() >>> 0) },
    },
  });
  const [sessions, seed] = [Number(values.sessions), Number(values.seed)];
  console.log(`${sessions} sessions from seed ${seed} on`);
  process.on('unhandledRejection', (error) => {
    throw error;
  });
  const { growth, seconds } = await fuzz(session, sessions, seed, (done, heap) => {
    console.log(`${done} sessions, ${(heap / 2 ** 20).toFixed(1)} MiB in use`);
  });
  console.log(
    `no crash, no hang, ${(growth / 2 ** 10).toFixed(0)} KiB of growth, in ${seconds.toFixed(0)} s`,
  );
}
