import { foldCase } from './long-names.js';

/**
 * Gives each of a directory's files its name of 8 and 3 characters: 11 of them, padded with spaces. FAT specification,
 * "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation Algorithm".
 *
 * Only ASCII is used, which is the same in all code pages. No short name is like the long name of another file.
 * @param longNames which differ in more than case.
 */
export function shortNames(longNames: readonly string[]): string[] {
  const taken = new Set(longNames.map(foldCase));
  const tails = new Map<string, number>();
  return longNames.map((longName) => {
    const exact = SHORT.exec(longName);
    if (exact !== null) return padded(exact[1]!.toUpperCase(), exact[2]?.toUpperCase() ?? '');
    const { base, extension } = basisName(longName);
    return padded(withTail(base, extension, taken, tails), extension);
  });
}

/**
 * Whether the entry needs a long name, or the short one says it all. Case counts: that DOS and NT write small letters
 * as a flag in a reserved byte is not in the specification, and some readers do not know it.
 */
export function needsLongName(longName: string): boolean {
  return longName !== longName.toUpperCase() || !SHORT.test(longName);
}

/** What a short name may have in it, once in capitals. FAT specification, "Name Limits and Character Sets". */
const LEGAL = "A-Za-z0-9$%'_@~`!(){}^#&-";
const SHORT = new RegExp(`^([${LEGAL}]{1,8})(?:\\.([${LEGAL}]{1,3}))?$`);
const NOT_LEGAL = new RegExp(`[^${LEGAL}]`, 'g');

function basisName(longName: string): { base: string; extension: string } {
  const name = longName.replaceAll(' ', '').replace(/^\.+/, '');
  const dot = name.lastIndexOf('.');
  const short = (text: string, length: number) =>
    text.replaceAll('.', '').replace(NOT_LEGAL, '_').slice(0, length).toUpperCase();
  return dot === -1
    ? { base: short(name, 8), extension: '' }
    : { base: short(name.slice(0, dot), 8), extension: short(name.slice(dot + 1), 3) };
}

/** `LONGNAME` → the first of `LONGNA~1` … `LONGNA~9`, `LONGN~10` … that is not taken. */
function withTail(base: string, extension: string, taken: Set<string>, tails: Map<string, number>): string {
  for (let digits = 1; ; digits++) {
    const stem = base.slice(0, 7 - digits);
    // Names with the same stem share a counter: a directory of them takes linear time.
    const family = `${digits}${stem}.${extension}`;
    for (let tail = tails.get(family) ?? 10 ** (digits - 1); tail < 10 ** digits; tail++) {
      tails.set(family, tail + 1);
      const candidate = `${stem}~${tail}`;
      const whole = extension === '' ? candidate : `${candidate}.${extension}`;
      if (taken.has(whole)) continue;
      taken.add(whole);
      return candidate;
    }
  }
}

function padded(base: string, extension: string): string {
  return base.padEnd(8) + extension.padEnd(3);
}
