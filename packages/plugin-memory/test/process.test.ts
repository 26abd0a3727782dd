import { expect, test } from 'vitest';
import memory from '../src/index.js';

const MiB = 2 ** 20;

test('the process gives memory back when a disk is trimmed', async () => {
  const plugin = await memory.fromArguments(['7E']);
  const device = await plugin.open({ exportName: '', readOnly: false });
  const content = new Uint8Array(MiB).fill(1);
  for (let i = 0; i < 256; i++) await device.write!(BigInt(i * MiB), content);
  const full = process.memoryUsage.rss();
  await device.trim!(0n, device.size);
  await expect.poll(() => full - process.memoryUsage.rss(), { timeout: 20_000 }).toBeGreaterThan(200 * MiB);
}, 60_000);
