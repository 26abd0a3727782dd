/** A date as a directory entry holds it. FAT specification, "Date and Time Formats". */
export interface FatDate {
  /** Day in bits 0 to 4, month (1 to 12) in 5 to 8, years since 1980 in 9 to 15. */
  readonly date: number;
  /** Seconds/2 in bits 0 to 4, minutes in 5 to 10, hours in 11 to 15. */
  readonly time: number;
  /** Hundredths of a second on top of `time`, 0 to 199. */
  readonly hundredths: number;
}

// FAT's years have seven bits from 1980 on.
const FIRST: FatDate = { date: (1 << 5) | 1, time: 0, hundredths: 0 };
const LAST: FatDate = {
  date: (127 << 9) | (12 << 5) | 31,
  time: (23 << 11) | (59 << 5) | 29,
  hundredths: 199,
};

/**
 * FAT has no time zone: by convention it holds the clock on the wall, here that of this process (`TZ`) or of UTC.
 * @param milliseconds since 1970; before 1980 it becomes the first moment of that year, after 2107 the last.
 */
export function fatDate(milliseconds: number, utc: boolean): FatDate {
  // File systems have times that a Date can't hold: these are in the years 1653 and 2286.
  const moment = Math.min(Math.max(milliseconds, -1e13), 1e13);
  const clock = utc ? new Date(moment) : wallClock(moment);
  const year = clock.getUTCFullYear();
  if (year < 1980) return FIRST;
  if (year > 2107) return LAST;
  const seconds = clock.getUTCSeconds();
  return {
    date: ((year - 1980) << 9) | ((clock.getUTCMonth() + 1) << 5) | clock.getUTCDate(),
    time: (clock.getUTCHours() << 11) | (clock.getUTCMinutes() << 5) | (seconds >> 1),
    hundredths: (seconds & 1) * 100 + Math.floor(clock.getUTCMilliseconds() / 10),
  };
}

/** A Date whose UTC fields are the local ones of `moment`. */
function wallClock(moment: number): Date {
  return new Date(moment - new Date(moment).getTimezoneOffset() * 60_000);
}
