import { parameterType, type ParameterMaker } from '@nbd/plugin';

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** What Node's timers hold. */
const LONGEST = 2 ** 31 - 1;

/** A time in milliseconds: `20ms`, `500us`, `1.5s`, `2m`; without a unit, seconds. */
export const duration: ParameterMaker<number> = parameterType<number>(() => ({
  type: 'TIME',
  what: 'a time up to 24 days (20ms, 1.5s, 2m; in a program, milliseconds)',
  read(text) {
    const [, count, unit = 's'] = /^(\d+\.?\d*|\.\d+)(us|ms|s|m|h)?$/.exec(text) ?? [];
    return count === undefined ? undefined : Number(count) * UNITS[unit]!;
  },
  is: (value) => typeof value === 'number' && value >= 0 && value <= LONGEST,
  format: (milliseconds) => (milliseconds % 1000 === 0 ? `${milliseconds / 1000}s` : `${milliseconds}ms`),
}));
