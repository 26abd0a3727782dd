/** What bytes are written as in the data language. */
export interface Words {
  /** To be put together with blanks. */
  readonly words: readonly string[];
  /** Bytes that they write. */
  readonly length: number;
  /** Bytes that they spell out: of repeats, one repetition. */
  readonly spelled: number;
}

interface Word {
  readonly text: string;
  readonly length: number;
  readonly spelled: number;
}

/**
 * Words of the data language for bytes that lie at `offset`.
 * @param room how many zeroes may be written after them.
 */
export function wordsOf(bytes: Uint8Array, offset: bigint, room: number): Words {
  const words: string[] = [];
  let spelled = 0;
  let at = 0;
  while (at < bytes.length) {
    const sectorOffset = Number((offset + BigInt(at)) % BigInt(SECTOR));
    const repeat = repeatAt(bytes, at);
    const next =
      (repeat !== undefined && repeat.length > LONGEST_WORD ? repeat : undefined) ??
      stringAt(bytes, at) ??
      wordAt(bytes, at, sectorOffset, room) ??
      repeat ??
      byteAt(bytes, at);
    words.push(next.text);
    spelled += next.spelled;
    at += next.length;
  }
  return { words, length: at, spelled };
}

/** Longest pattern that is looked for. */
const LONGEST_PERIOD = 32;
/** From this many bytes on a repeat is worth its signs: of one byte, of a pattern, and in the middle of a string. */
const WORTH = { byte: 4, pattern: 16, string: 32 };

/** One byte or a short pattern over and over. */
function repeatAt(bytes: Uint8Array, at: number): Word | undefined {
  for (let period = 1; period <= LONGEST_PERIOD; period++) {
    let end = at + period;
    while (end < bytes.length && bytes[end] === bytes[end - period]) end++;
    const count = Math.floor((end - at) / period);
    const length = count * period;
    if (count >= 3 && length >= (period === 1 ? WORTH.byte : WORTH.pattern)) {
      return { text: `${patternText(bytes.subarray(at, at + period))}*${count}`, length, spelled: period };
    }
  }
  return undefined;
}

function patternText(pattern: Uint8Array): string {
  if (pattern.every(isText)) return `"${Array.from(pattern, escaped).join('')}"`;
  const words = Array.from(pattern, byteText).join(' ');
  return pattern.length === 1 ? words : `( ${words} )`;
}

const SHORTEST_STRING = 4;
const LONGEST_STRING = 64;

function stringAt(bytes: Uint8Array, at: number): Word | undefined {
  let end = at;
  while (end < bytes.length && end - at < LONGEST_STRING && isText(bytes[end]!)) {
    if (end > at && (repeatAt(bytes, end)?.length ?? 0) >= WORTH.string) break;
    // After a line of text, the string ends.
    if (bytes[end++] === 0x0a && end - at >= SHORTEST_STRING) break;
  }
  const length = end - at;
  const all = length === bytes.length && length > 1;
  if (length < SHORTEST_STRING && !all) return undefined;
  return { text: `"${Array.from(bytes.subarray(at, end), escaped).join('')}"`, length, spelled: length };
}

const ESCAPES = new Map([
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

function isText(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || ESCAPES.has(byte);
}

function escaped(byte: number): string {
  return ESCAPES.get(byte) ?? String.fromCharCode(byte);
}

const SECTOR = 512;
const LONGEST_WORD = 8;

/**
 * What is likely a number in little endian: aligned, not across sectors, with zeroes at its high end. Fields of 4 bytes
 * at offsets that are 2 modulo 4 are what the partition table of the MBR is made of.
 */
function wordAt(bytes: Uint8Array, at: number, sectorOffset: number, room: number): Word | undefined {
  const zeroes = (from: number, to: number): boolean =>
    bytes.subarray(at + from, at + to).every((byte) => byte === 0);
  const left = bytes.length - at;
  const isLong = !zeroes(0, 4) && (zeroes(4, 8) || (zeroes(6, 8) && !zeroes(5, 6)));
  if (sectorOffset % 8 === 0 && left >= 8 && isLong) return wordText(bytes, at, 8);
  // At the end of an island one byte is a byte, and two may be a number with the zeroes after it.
  const fits = left >= 4 || (left + room >= 4 && !zeroes(1, 2));
  const isShort = !zeroes(0, 2) && zeroes(2, 4);
  if (sectorOffset % 2 === 0 && sectorOffset + 4 <= SECTOR && fits && isShort) return wordText(bytes, at, 4);
  return undefined;
}

function wordText(bytes: Uint8Array, at: number, length: number): Word {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  const digits = value < 10n ? value.toString() : `0x${value.toString(16)}`;
  return { text: `le${length * 8}:${digits}`, length, spelled: length };
}

function byteAt(bytes: Uint8Array, at: number): Word {
  return { text: byteText(bytes[at]!), length: 1, spelled: 1 };
}

function byteText(byte: number): string {
  return byte < 10 ? String(byte) : `0x${byte.toString(16).padStart(2, '0')}`;
}
