/**
 * A file name as the bytes that the file system has, one character (U+0000 to U+00FF) for each: it need not be valid
 * UTF-8. As a string it is compact, sorts as its bytes do, and is a key of maps.
 */
export type ByteString = string;

export function byteString(bytes: Buffer): ByteString {
  return bytes.toString('latin1');
}

/** What `node:fs` takes for the path. */
export function fsPath(path: ByteString): string | Buffer {
  return ASCII.test(path) ? path : bytesOf(path);
}

function bytesOf(name: ByteString): Buffer {
  return Buffer.from(name, 'latin1');
}

/** The path as text, on one line whatever is in it: bytes that are not UTF-8 show as `\xff`. */
export function printable(path: ByteString): string {
  return oneLine(decode(path) ?? path.replace(/[^\x20-\x7e]/g, escaped));
}

/** The text with `\x0a` and the like for what would break a line or drive a terminal. */
export function oneLine(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** The text that these bytes are in UTF-8; undefined if they are not valid. */
export function decode(name: ByteString): string | undefined {
  if (ASCII.test(name)) return name;
  try {
    return STRICT_UTF8.decode(bytesOf(name));
  } catch {
    return undefined;
  }
}

/** The same with U+FFFD in place of what is not valid. */
export function decodeLoosely(name: ByteString): string {
  return LOOSE_UTF8.decode(bytesOf(name));
}

export const ASCII = /^[\x00-\x7f]*$/;

// C0, DEL, C1, and what some break lines at.

const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g;

// `ignoreBOM` keeps a byte order mark: in a name it is a character like others.
const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LOOSE_UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

function escaped(character: string): string {
  const code = character.charCodeAt(0).toString(16);
  return code.length > 2 ? `\\u${code}` : `\\x${code.padStart(2, '0')}`;
}
