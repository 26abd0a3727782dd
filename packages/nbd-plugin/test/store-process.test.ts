import { expect, test } from 'vitest';
import { SparseStore } from '../src/store/index.js';

const MiB = 2 ** 20;

test('the process gives memory back when a disk is trimmed', async () => {
  const store = new SparseStore(2n ** 63n - 1n);
  const content = new Uint8Array(MiB).fill(1);
  for (let i = 0; i < 256; i++) await store.write(BigInt(i * MiB), content);
  const full = process.memoryUsage.rss();
  store.trim(0n, store.size);
  expect(full - process.memoryUsage.rss()).toBeGreaterThan(200 * MiB);
}, 60_000);
