import type { ExtentSink } from '@nbd/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SparseStore } from '../src/store/index.js';
import { BLOCK_SIZE, Slots } from '../src/store/slots.js';

const GIANT = 2n ** 63n - 1n;
const BLOCK = BigInt(BLOCK_SIZE);

function filled(length: number, byte: number): Uint8Array {
  return new Uint8Array(length).fill(byte);
}

async function contentOf(store: SparseStore, offset: bigint, length: number): Promise<Uint8Array> {
  const into = filled(length, 0xee);
  await store.read(offset, into);
  return into;
}

/** A sink that keeps what it is told, and has enough after `limit` extents. */
function listing(limit = Infinity): ExtentSink & { readonly extents: { length: bigint; flags: number }[] } {
  const extents: { length: bigint; flags: number }[] = [];
  return {
    extents,
    add(length, flags) {
      extents.push({ length, flags });
      return extents.length < limit;
    },
  };
}

test('an empty disk of 2^63-1 bytes is one hole', () => {
  const sink = listing();
  void new SparseStore(GIANT).extents(0n, GIANT, sink);
  expect(sink.extents).toEqual([{ length: GIANT, flags: 3 }]);
});

test('the last bytes of a disk of 2^63-1 bytes are kept', async () => {
  const store = new SparseStore(GIANT);
  await store.write(GIANT - 3n, Uint8Array.of(1, 2, 3));
  expect(await contentOf(store, GIANT - 4n, 4)).toEqual(Uint8Array.of(0, 1, 2, 3));
  const sink = listing();
  void store.extents(0n, GIANT, sink);
  const last = GIANT - (GIANT % BLOCK);
  expect(sink.extents).toEqual([
    { length: last, flags: 3 },
    { length: GIANT - last, flags: 0 },
  ]);
  await store.zero(GIANT - 3n, 3n);
  store.trim(last, GIANT - last);
  expect(store.usedBytes).toBe(0n);
});

test('a disk without a byte can be asked for nothing', async () => {
  const store = new SparseStore(0n);
  await store.write(0n, new Uint8Array(0));
  await store.zero(0n, 0n);
  store.trim(0n, 0n);
  expect(await contentOf(store, 0n, 0)).toEqual(new Uint8Array(0));
});

test('zeroes written over a hole take no memory, data around them does', async () => {
  const store = new SparseStore(GIANT);
  await store.write(5n, new Uint8Array(1_000_000));
  expect(store.usedBytes).toBe(0n);
  const mixed = new Uint8Array(8 * BLOCK_SIZE);
  mixed[3 * BLOCK_SIZE] = 1;
  await store.write(0n, mixed);
  expect(store.usedBytes).toBe(BLOCK);
});

test('past the limit a write fails whole, and trimming makes room again', async () => {
  const store = new SparseStore(GIANT, { maxBytes: 4n * BLOCK });
  await store.write(0n, filled(3 * BLOCK_SIZE, 1));
  await expect(async () => store.write(2n * BLOCK, filled(3 * BLOCK_SIZE, 2))).rejects.toMatchObject({
    code: 'ENOSPC',
  });
  expect(await contentOf(store, 0n, 5 * BLOCK_SIZE)).toEqual(
    Uint8Array.of(...filled(3 * BLOCK_SIZE, 1), ...new Uint8Array(2 * BLOCK_SIZE)),
  );
  await store.write(BLOCK, filled(3 * BLOCK_SIZE, 3)); // two blocks that are there, and the last one of the limit
  store.trim(0n, BLOCK);
  await store.write(10n * BLOCK, filled(BLOCK_SIZE, 4));
  expect(store.usedBytes).toBe(4n * BLOCK);
});

test('zeroes that keep the range allocated count against the limit, and leave room for what is written there', async () => {
  const store = new SparseStore(GIANT, { maxBytes: 4n * BLOCK });
  await expect(async () => store.zero(0n, GIANT, { noHole: true })).rejects.toMatchObject({ code: 'ENOSPC' });
  await store.zero(0n, 3n * BLOCK, { noHole: true });
  await store.write(100n * BLOCK, filled(BLOCK_SIZE, 1));
  await expect(async () => store.write(200n * BLOCK, filled(1, 1))).rejects.toMatchObject({ code: 'ENOSPC' });
  await store.write(0n, filled(3 * BLOCK_SIZE, 2));
  const sink = listing();
  void store.extents(0n, 4n * BLOCK, sink);
  expect(sink.extents[0]).toEqual({ length: 3n * BLOCK, flags: 0 });
});

test('a whole giant disk can be kept allocated, without memory', async () => {
  const store = new SparseStore(GIANT);
  await store.zero(0n, GIANT, { noHole: true });
  const sink = listing();
  void store.extents(0n, GIANT, sink);
  expect(sink.extents).toEqual([{ length: GIANT, flags: 2 }]);
  store.trim(0n, GIANT);
  expect(store.usedBytes).toBe(0n);
});

test('extents of a finely scattered disk come in bounded calls, and stop when the sink has enough', async () => {
  const store = new SparseStore(2n ** 30n);
  for (let block = 0n; block < 50_000n; block += 2n) await store.write(block * BLOCK, Uint8Array.of(1));
  const all = listing();
  void store.extents(0n, 2n ** 30n, all);
  expect(all.extents.length).toBeGreaterThan(1000);
  expect(all.extents.length).toBeLessThan(10_000);
  const few = listing(3);
  void store.extents(0n, 2n ** 30n, few);
  expect(few.extents.map(({ flags }) => flags)).toEqual([0, 3, 0]);
});

test('a read tells which ranges are holes', async () => {
  const store = new SparseStore(GIANT);
  await store.write(BLOCK, filled(BLOCK_SIZE, 1));
  const holes: [bigint, bigint][] = [];
  const into = filled(3 * BLOCK_SIZE, 0xee);
  await store.read(100n, into, { holes: { add: (offset, length) => holes.push([offset, length]) } });
  expect(holes).toEqual([
    [100n, BLOCK - 100n],
    [2n * BLOCK, BLOCK + 100n],
  ]);
});

test('writes to parts of one block at the same time are all kept, over a backing that makes them wait', async () => {
  const store = new SparseStore(GIANT, {
    backing: {
      async read(_offset, into) {
        await Promise.resolve();
        into.fill(9);
      },
    },
  });
  await Promise.all([
    store.write(0n, Uint8Array.of(1)),
    store.write(2n, Uint8Array.of(2)),
    store.zero(4n, 1n),
    store.write(BLOCK - 1n, Uint8Array.of(3, 3)),
  ]);
  expect(await contentOf(store, 0n, 6)).toEqual(Uint8Array.of(1, 9, 2, 9, 0, 9));
  expect(await contentOf(store, BLOCK - 2n, 4)).toEqual(Uint8Array.of(9, 3, 3, 9));
});

test('a read that fails has let go of its buffer', async () => {
  const { promise: slow, resolve } = withResolvers();
  const store = new SparseStore(GIANT, {
    backing: {
      async read(offset, into) {
        if (offset > 0n) throw new Error('bad sector');
        await slow;
        into.fill(5);
      },
    },
  });
  await store.write(BLOCK, filled(BLOCK_SIZE, 1)); // so that the backing is read twice
  const into = new Uint8Array(3 * BLOCK_SIZE);
  let failed = false;
  const reading = Promise.resolve(store.read(0n, into)).catch(() => {
    failed = true;
  });
  await new Promise((next) => setImmediate(next));
  expect(failed).toBe(false);
  resolve();
  await reading;
  expect(failed).toBe(true);
  expect(into[0]).toBe(5);
});

test('memory follows what is used though blocks are given back at random', () => {
  const slab = 8448;
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 95 }), fc.integer(), (percentKept, seed) => {
      const slotOf = new Map<number, number>();
      let dropped = 0;
      const slots = new Slots(
        2 ** 40,
        (block, slot) => slotOf.set(block, slot),
        () => dropped++,
      );
      const count = 6 * slab - 1;
      slots.reserve(count);
      for (let block = 0; block < count; block++) {
        const slot = slots.take(block, false);
        slotOf.set(block, slot);
        slots.slabOf(slot).set([block & 255, block >> 8], slots.positionOf(slot));
      }
      let random = seed;
      for (let block = 0; block < count; block++) {
        random = (Math.imul(random, 1_103_515_245) + 12_345) | 0;
        if ((random >>> 16) % 100 < percentKept) continue;
        slots.give(slotOf.get(block)!);
        slotOf.delete(block);
        slots.compact();
      }
      expect(slots.taken).toBe(slotOf.size);
      expect(slots.capacity).toBe((6 - dropped) * slab);
      expect(slots.capacity).toBeLessThanOrEqual(Math.max(slots.taken * 1.5, slots.taken + slab) + slab);
      for (const [block, slot] of slotOf) {
        const at = slots.positionOf(slot);
        expect(slots.slabOf(slot)[at]! + slots.slabOf(slot)[at + 1]! * 256).toBe(block);
      }
    }),
    { numRuns: 5 },
  );
}, 60_000);

test('it is told when memory was let go of, and the store goes on', async () => {
  let released = 0;
  const store = new SparseStore(GIANT, { released: () => released++ });
  const content = filled(2 ** 20, 7);
  for (const round of [1, 2]) {
    for (let at = 0n; at < 70n; at++) await store.write(at << 20n, content);
    store.trim(0n, GIANT);
    expect(released).toBeGreaterThanOrEqual(round);
    expect(await contentOf(store, 1n << 20n, 1)).toEqual(Uint8Array.of(0));
  }
}, 60_000);

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
