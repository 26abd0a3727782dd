/** xoshiro256** and splitmix64 in plain bigints, as in the authors' papers: what the kernels are compared with. */

export type State = [bigint, bigint, bigint, bigint];

const u64 = (value: bigint) => BigInt.asUintN(64, value);
const rotl = (value: bigint, by: bigint) => u64(value << by) | (value >> (64n - by));

/** The draws of splitmix64. */
export function* splitmix64(seed: bigint): Generator<bigint, never> {
  for (;;) {
    seed = u64(seed + 0x9e3779b97f4a7c15n);
    let z = seed;
    z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    yield z ^ (z >> 31n);
  }
}

export function step([s0, s1, s2, s3]: State): State {
  const t = u64(s1 << 17n);
  s2 ^= s0;
  s3 ^= s1;
  s1 ^= s2;
  s0 ^= s3;
  return [s0, s1, s2 ^ t, rotl(s3, 45n)];
}

/** The draws of xoshiro256**. */
export function* xoshiro256(state: State): Generator<bigint, never> {
  for (; ; state = step(state)) yield u64(rotl(u64(state[1] * 5n), 7n) * 9n);
}

export function xoshiro256Seeded(seed: bigint): Generator<bigint, never> {
  const seeds = splitmix64(seed);
  const state: State = [seeds.next().value, seeds.next().value, seeds.next().value, seeds.next().value];
  return xoshiro256(state);
}

/** The first `count` of them. */
export function take<T>(values: Iterator<T, never>, count: number): T[] {
  return Array.from({ length: count }, () => values.next().value);
}
