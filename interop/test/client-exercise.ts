import { isNbdError } from '@nbd/protocol';
import type { NbdClient } from '@nbd/client';
import { expect } from 'vitest';

/**
 * Does to a disk all that its server lets be done, many requests at once and none of them aligned, and checks that what
 * can be read is what it must be.
 */
export async function exercise(disk: NbdClient): Promise<void> {
  const size = Number(disk.size);
  const model: Uint8Array = await disk.read(0n, size);
  const fill = (start: number, length: number, seed: number) => {
    for (let i = start; i < start + length; i++) model[i] = 1 + ((i * 7 + seed) % 255);
    return model.slice(start, start + length);
  };
  const writes = Array.from({ length: 32 }, (_, i) => ({ start: i * 70_001, length: 65_537 }));
  await Promise.all(
    writes.map(({ start, length }, i) =>
      disk.write(BigInt(start), fill(start, length, i), { fua: i % 4 === 0 }),
    ),
  );
  await disk.flush?.();

  const zero = async (
    start: number,
    length: number,
    options: Parameters<NonNullable<typeof disk.zero>>[2],
  ) => {
    try {
      await disk.zero?.(BigInt(start), BigInt(length), options);
      if (disk.zero) model.fill(0, start, start + length);
    } catch (error) {
      // "Not fast" is an answer; nothing is changed then.
      if (!isNbdError(error) || error.code !== 'ENOTSUP' || options?.fastZero !== true) throw error;
    }
  };
  await zero(100_001, 99_999, {});
  await zero(300_003, 4099, { noHole: true });
  await zero(400_003, 131_072, { fua: true });
  if (disk.can.fastZero) await zero(600_000, 4096, { fastZero: true });
  await disk.trim?.(1_048_576n, 524_288n);
  await disk.cache?.(0n, 4096n);
  // What was trimmed may read as anything.
  model.set(await disk.read(1_048_576n, 524_288), 1_048_576);

  const holes: [bigint, bigint][] = [];
  const whole = await disk.read(0n, size, { holes: { add: (...hole) => holes.push(hole) } });
  expect(Buffer.compare(whole, model)).toBe(0);
  for (const [offset, length] of holes) expect(isZero(model, offset, length)).toBe(true);
  const parts = await Promise.all(
    Array.from({ length: 64 }, (_, i) =>
      disk.read(BigInt(i * 60_013), 60_013, { dontFragment: i % 2 === 0 }),
    ),
  );
  expect(Buffer.compare(Buffer.concat(parts), model.subarray(0, 64 * 60_013))).toBe(0);

  let end = 0n;
  for await (const { offset, length, zero } of disk.extents()) {
    expect(offset).toBe(end);
    if (zero) expect(isZero(model, offset, length)).toBe(true);
    end += length;
  }
  expect(end).toBe(disk.size);
}

function isZero(model: Uint8Array, offset: bigint, length: bigint): boolean {
  return model.subarray(Number(offset), Number(offset + length)).every((byte) => byte === 0);
}
