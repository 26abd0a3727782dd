import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { expect, test } from 'vitest';
// As built: threads are started with files, which know nothing of TypeScript.
import sparseRandom from '../dist/index.js';
import { BATCH, Batches } from '../src/batches.js';
import { randomContent } from '../src/random-content.js';

const BLOCK_SIZE = 4096;
const BATCH_SIZE = BATCH * BLOCK_SIZE;

test('a helper makes what is wanted', async () => {
  const [memory, seed] = [Batches.allocate(), 5];
  const batches = new Batches(memory, seed);
  const helper = new Worker(new URL('../dist/helper.js', import.meta.url), { workerData: { memory, seed } });
  try {
    const slots = Array.from({ length: 100 }, (_, i) => {
      const slot = batches.nextSlot();
      batches.want(slot, i);
      return slot;
    });
    batches.ringBell();
    const bytesIn = (slot: number) => batches.bytes.subarray(slot * BATCH_SIZE, (slot + 1) * BATCH_SIZE);
    const expected = Buffer.alloc(100 * BATCH_SIZE);
    randomContent(seed).fill(0, 0, expected);
    await expect
      .poll(() => Buffer.compare(Buffer.concat(slots.map(bytesIn)), expected), { timeout: 30_000 })
      .toBe(0);
  } finally {
    await helper.terminate();
  }
}, 60_000);

test('with helpers, sequential requests get the same bytes as single ones', async () => {
  const plugin = await sparseRandom.create({
    size: 7n << 60n,
    seed: 7,
    percent: 100,
    'random-content': true,
  });
  const ahead = await plugin.open({ exportName: '', readOnly: false });
  const single = randomContent(7);
  const bytes = Buffer.alloc(300_000);
  const expected = Buffer.alloc(300_000);
  const sequence = fc.record({
    start: fc.nat(2 ** 40),
    lengths: fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 30 }),
  });
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(sequence, { minLength: 1, maxLength: 3 }), async (sequences) => {
        const places = sequences.map(({ start }) => start * BLOCK_SIZE);
        for (let request = 0; request < 30; request++) {
          for (const [i, { lengths }] of sequences.entries()) {
            const length = lengths[request];
            if (length === undefined) continue;
            const [block, skip] = [Math.floor(places[i]! / BLOCK_SIZE), places[i]! % BLOCK_SIZE];
            places[i]! += length;
            const part = bytes.subarray(0, length);
            const offset = BigInt(block) * BigInt(BLOCK_SIZE) + BigInt(skip);
            await ahead.read(offset, part);
            // Backwards, nothing is sequential.
            for (let at = length; at > 0;) {
              const from = Math.max(0, at - 100_000);
              const place = skip + from;
              single.fill(
                block + Math.floor(place / BLOCK_SIZE),
                place % BLOCK_SIZE,
                expected.subarray(from, at),
              );
              at = from;
            }
            if (!part.equals(expected.subarray(0, length))) throw new Error(`wrong at block ${block}`);
            // Compares.
            await ahead.write!(offset, part);
          }
        }
      }),
      { numRuns: 40 },
    );
  } finally {
    await Promise.all([plugin.close!(), single.close!()]);
  }
}, 120_000);
