import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BufferPool } from '../src/pool.js';

test('a buffer is long enough, and at most twice as long from 4 KiB up', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 33 << 20 }), (length) => {
      const sizes: number[] = [];
      const pool = new BufferPool({ allocate: (size) => (sizes.push(size), new Uint8Array(0)) });
      pool.take(length);
      expect(sizes[0]).toBeGreaterThanOrEqual(length);
      expect(sizes[0]).toBeLessThan(Math.max(4097, 2 * length));
    }),
  );
});

test('a buffer that is given back is taken again', () => {
  const pool = new BufferPool();
  const buffer = pool.take(5000);
  pool.give(buffer);
  expect(pool.take(8192)).toBe(buffer);
  expect(pool.take(8192)).not.toBe(buffer);
});

test('no more is kept than was allowed', () => {
  let allocated = 0;
  const pool = new BufferPool({ maxIdle: 16384, allocate: (size) => (allocated++, new Uint8Array(size)) });
  const buffers = [8192, 8192, 8192].map((size) => pool.take(size));
  for (const buffer of buffers) pool.give(buffer);
  for (let i = 0; i < 3; i++) pool.take(8192);
  expect(allocated).toBe(4);
});
