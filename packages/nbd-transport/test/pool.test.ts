import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BufferPool } from '../src/pool.js';

test('a buffer is long enough, and at most twice as long from 4 KiB up', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 33 << 20 }), (length) => {
      const pool = new BufferPool({ memory: (size) => Buffer.allocUnsafeSlow(size) });
      const size = pool.take(length).length;
      expect(size).toBeGreaterThanOrEqual(length);
      expect(size).toBeLessThan(Math.max(4097, 2 * length));
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

test('a buffer does not begin where its memory does, which is next to the start of a page', () => {
  const { byteOffset, byteLength } = new BufferPool().take(1 << 20);
  expect(byteOffset).toBe(64);
  expect(byteLength).toBe(1 << 20);
});

test('no more is kept than was allowed', () => {
  let allocated = 0;
  const pool = new BufferPool({ maxIdle: 16384, memory: (size) => (allocated++, new Uint8Array(size)) });
  const buffers = [8192, 8192, 8192].map((size) => pool.take(size));
  for (const buffer of buffers) pool.give(buffer);
  for (let i = 0; i < 3; i++) pool.take(8192);
  expect(allocated).toBe(4);
});
