import { ASCII, decode, decodeLoosely, type ByteString } from './byte-string.js';

/** The name that a file has on the disk. */
export interface LongName {
  /** 1 to 255 UTF-16 units. Names of one directory differ in more than case. */
  readonly text: string;
  /** Why it is not the name it has in the tree, as the end of a sentence; undefined if it is. */
  readonly reason: string | undefined;
}

/** FAT specification, "Long Directory Entries": 255 characters at most, of UTF-16. */
const MAX_UNITS = 255;

/**
 * Gives each of a directory's files a name that FAT can hold: its own if possible. Nothing but the names decides, so
 * the same ones always get the same result. A name that fits is never changed for the sake of one that does not.
 * @param names different from each other.
 */
export function longNames(names: readonly ByteString[]): LongName[] {
  const taken = new Map<string, string>();
  const legal = names.map(legalName);
  const result = legal.map(({ text, reason }) => {
    const folded = foldCase(text);
    if (reason !== undefined || taken.has(folded)) return undefined;
    taken.set(folded, text);
    return { text, reason };
  });
  const numbers = new Map<string, number>();
  return result.map((name, i) => {
    if (name !== undefined) return name;
    const { text, reason } = legal[i]!;
    const twin = taken.get(foldCase(text)) ?? '';
    const unique = twin === '' ? text : numbered(text, taken, numbers);
    taken.set(foldCase(unique), unique);
    return { text: unique, reason: reason ?? `it differs from ${twin} in nothing but case` };
  });
}

/**
 * Folds together what any system with FAT might take for the same letter, character by character as their tables do.
 * (To fold too much only renames a file that need not have been.)
 */
export function foldCase(text: string): string {
  if (ASCII.test(text)) return text.toUpperCase();
  let folded = '';
  for (let i = 0; i < text.length; i++) {
    const unit = text.charAt(i);
    const upper = unit.toLowerCase().toUpperCase();
    folded += upper.length === 1 ? upper : unit;
  }
  return folded;
}

/** FAT specification, "Long File Names": what is not allowed in them. U+FFFF is what an entry's end is filled with. */

const FORBIDDEN = /[\x00-\x1f"*/:<>?\\|\uffff]/g;

/** What DOS and Windows take for a device wherever it stands and whatever comes after the dot. */
const DEVICE = /^(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(?= *(\.|$))/i;

function legalName(name: ByteString): LongName {
  const reasons: string[] = [];
  const decoded = decode(name);
  if (decoded === undefined) reasons.push('it is not valid UTF-8');
  let text = decoded ?? decodeLoosely(name).replaceAll('\ufffd', '_');

  const forbidden = text.match(FORBIDDEN);
  if (forbidden !== null) {
    reasons.push(`FAT allows no ${[...new Set(forbidden)].map(nameOfCharacter).join(' ')} in a name`);
    text = text.replace(FORBIDDEN, '_');
  }
  if (/[. ]$/.test(text)) {
    reasons.push('a name on FAT does not end with a dot or a space');
    text = text.replace(/[. ]+$/, (end) => '_'.repeat(end.length));
  }
  const device = DEVICE.exec(text)?.[0];
  if (device !== undefined) {
    reasons.push(`${device} is a device on DOS and Windows`);
    text = `${device}_${text.slice(device.length)}`;
  }
  if (text.length > MAX_UNITS) {
    reasons.push(`it is longer than ${MAX_UNITS} characters`);
    text = withSuffix(text, '_');
  }
  return { text, reason: reasons.length === 0 ? undefined : reasons.join('; ') };
}

function nameOfCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return code > 0x20 && code < 0x7f ? character : `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** `a_b.txt` → the first of `a_b_2.txt`, `a_b_3.txt` … that is not taken. */
function numbered(text: string, taken: ReadonlyMap<string, string>, numbers: Map<string, number>): string {
  // Names that are the same but for a number share a counter: a directory of them takes linear time.
  const family = foldCase(withSuffix(text, '_99999'));
  for (let number = numbers.get(family) ?? 2; ; number++) {
    const candidate = withSuffix(text, `_${number}`);
    if (taken.has(foldCase(candidate))) continue;
    numbers.set(family, number + 1);
    return candidate;
  }
}

/** Puts `suffix` in front of the extension, and cuts what is before it to keep within the limit. */
function withSuffix(text: string, suffix: string): string {
  const dot = text.lastIndexOf('.');
  // A dot in front or far from the end is not that of an extension.
  const end = dot > 0 && text.length - dot <= 20 ? dot : text.length;
  const extension = text.slice(end);
  let stem = text.slice(0, Math.min(end, MAX_UNITS - suffix.length - extension.length));
  if (/[\ud800-\udbff]$/.test(stem)) stem = stem.slice(0, -1);
  return stem + suffix + extension;
}
