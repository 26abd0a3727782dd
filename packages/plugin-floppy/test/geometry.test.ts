import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  geometryOfSize,
  MAX_SECTORS,
  rootSectors,
  smallestGeometry,
  type Demand,
  type FatType,
  type Geometry,
} from '../src/geometry.js';

const NOTHING: Demand = { rootSlots: 1, clusters: () => 0, free: 0 };
const MIB = 2048;

/** Files of these sizes in a root directory with so many slots in use. */
function demandOf(sizes: readonly number[], rootSlots = 1, free = 0): Demand {
  return {
    rootSlots,
    free,
    clusters: (size) => sizes.reduce((sum, file) => sum + Math.ceil(file / size), 0),
  };
}

/** By the specification, from the numbers in the boot sector alone. */
function typeOf({ sectors, reserved, sectorsPerTable, sectorsPerCluster, ...geometry }: Geometry): FatType {
  const data = sectors - (reserved + 2 * sectorsPerTable + rootSectors(geometry));
  const clusters = Math.floor(data / sectorsPerCluster);
  return clusters < 4085 ? 12 : clusters < 65_525 ? 16 : 32;
}

function expectSound(geometry: Geometry, demand: Demand): void {
  const { type, sectors, sectorsPerCluster, reserved, sectorsPerTable, clusters, rootSlots } = geometry;
  expect(typeOf(geometry)).toBe(type);
  for (const limit of [4085, 65_525]) expect(Math.abs(clusters - limit)).toBeGreaterThanOrEqual(16);
  expect((sectorsPerTable * 4096) / type).toBeGreaterThanOrEqual(clusters + 2);
  expect(reserved + 2 * sectorsPerTable + rootSlots / 16 + clusters * sectorsPerCluster).toBeLessThanOrEqual(
    sectors,
  );
  expect(sectors).toBeLessThanOrEqual(0xffff_ffff);
  expect(sectors % geometry.sectorsPerTrack).toBe(0);
  const size = sectorsPerCluster * 512;
  const root = type === 32 ? Math.ceil((demand.rootSlots * 32) / size) : 0;
  expect(clusters).toBeGreaterThanOrEqual(demand.clusters(size) + root + Math.ceil(demand.free / size));
  if (type !== 32) expect(rootSlots).toBeGreaterThanOrEqual(demand.rootSlots);
}

const fileSize = fc.oneof(fc.nat(5000), fc.nat(10_000_000), fc.nat(0xffff_ffff));
const demand = fc
  .record({
    sizes: fc.array(fileSize, { maxLength: 30 }),
    rootSlots: fc.integer({ min: 1, max: 65_536 }),
    free: fc.oneof(fc.constant(0), fc.nat(2 ** 31 - 1)),
  })
  .map(({ sizes, rootSlots, free }) => demandOf(sizes, rootSlots, free));
const type = fc.constantFrom<(FatType | undefined)[]>(undefined, 12, 16, 32);
const start = fc.constantFrom(0, 2048);

test('a volume for any tree is sound, and the tree fits in', () => {
  fc.assert(
    fc.property(demand, type, start, (demand, type, start) => {
      const geometry = smallestGeometry(demand, type, start);
      if (geometry === undefined) {
        // Only FAT12 and FAT16 have limits that these trees reach.
        expect(type === 12 || type === 16).toBe(true);
        return;
      }
      expectSound(geometry, demand);
      expect((start + geometry.sectors) % MIB).toBe(0);
      if (type !== undefined) expect(geometry.type).toBe(type);
      // A given size of so much does, too.
      expect(geometryOfSize(geometry.sectors, demand, type, start === 0)).toBeDefined();
    }),
    { numRuns: 1000 },
  );
});

test('a volume of any size is sound, and the tree fits in', () => {
  const sectors = fc.oneof(fc.nat(10_000), fc.nat(3_000_000), fc.nat(MAX_SECTORS));
  fc.assert(
    fc.property(sectors, demand, type, start, (sectors, demand, type, start) => {
      const geometry = geometryOfSize(sectors, demand, type, start === 0);
      if (geometry === undefined) return;
      expectSound(geometry, demand);
      expect(sectors - geometry.sectors).toBeLessThan(32);
      if (type !== undefined) expect(geometry.type).toBe(type);
    }),
    { numRuns: 2000 },
  );
});

test('every size from 32 KiB on has a volume, also where types and cluster sizes change', () => {
  const around = (sectors: number) => Array.from({ length: 64 }, (_, i) => sectors - 32 + i);
  const sizes = [
    164, 4096, 8192, 8400, 32_680, 262_144, 524_288, 1_048_576, 532_480, 16_777_216, 33_554_432, 67_108_864,
  ];
  for (const sectors of [...sizes.flatMap(around), MAX_SECTORS]) {
    const geometry = geometryOfSize(sectors, NOTHING, undefined, false);
    expect(geometry, `${sectors} sectors`).toBeDefined();
    expectSound(geometry!, NOTHING);
  }
});

test.each([
  ['1 MiB', 1, 12, 1],
  ['4 MiB', 4, 12, 2],
  ['5 MiB', 5, 16, 2],
  ['100 MiB', 100, 16, 4],
  ['500 MiB', 500, 16, 16],
  ['513 MiB', 513, 32, 8],
  ['9 GiB', 9 * 1024, 32, 16],
  ['20 GiB', 20 * 1024, 32, 32],
  ['1 TiB', 1024 * 1024, 32, 64],
])('%s is what the tables of the specification say', (_name, mib, type, sectorsPerCluster) => {
  expect(geometryOfSize(mib * MIB, NOTHING, undefined, false)).toMatchObject({ type, sectorsPerCluster });
});

describe('where the tables do not do', () => {
  test('small files that do not fit get smaller clusters', () => {
    const small = demandOf(new Array<number>(60_000).fill(1));
    expect(geometryOfSize(200 * MIB, NOTHING, undefined, false)).toMatchObject({
      type: 16,
      sectorsPerCluster: 8,
    });
    expect(geometryOfSize(200 * MIB, small, undefined, false)).toMatchObject({
      type: 32,
      sectorsPerCluster: 1,
    });
  });

  test('a root directory of more than 65 520 slots is one of FAT32', () => {
    expect(smallestGeometry(demandOf([], 65_520), undefined, 0)).toMatchObject({
      type: 12,
      rootSlots: 65_520,
    });
    expect(smallestGeometry(demandOf([], 65_521), undefined, 0)).toMatchObject({ type: 32, rootSlots: 0 });
    expect(geometryOfSize(100 * MIB, demandOf([], 65_521), undefined, false)?.type).toBe(32);
  });

  test('a root directory is enlarged only if no type was asked for', () => {
    expect(smallestGeometry(demandOf([], 513), undefined, 0)?.rootSlots).toBe(528);
    expect(smallestGeometry(demandOf([], 513), 16, 0)).toBeUndefined();
    expect(smallestGeometry(demandOf([], 512), 16, 0)?.rootSlots).toBe(512);
  });

  test('what is too large for a type has none', () => {
    const gib = demandOf([2 ** 30]);
    expect(smallestGeometry(gib, 12, 0)).toBeUndefined();
    expect(smallestGeometry(gib, 16, 0)?.type).toBe(16);
    expect(smallestGeometry(demandOf([2 ** 30, 2 ** 30]), 16, 0)).toBeUndefined();
    expect(smallestGeometry(demandOf([], 1, 2 ** 41), undefined, 0)).toBeUndefined();
  });
});
