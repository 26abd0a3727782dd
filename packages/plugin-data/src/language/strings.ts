import { errorAt, type Source } from './source.js';

/** What a backslash and this letter stand for; any other character stands for itself. */
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

const encoder = new TextEncoder();

/** Reads the `"string"` that begins at `at`: its bytes in UTF-8, and the index after the closing quote. */
export function scanString(source: Source, at: number): { bytes: Uint8Array; end: number } {
  const { text } = source;
  const parts: Uint8Array[] = [];
  let from = at + 1;
  for (;;) {
    PLAIN.lastIndex = from;
    const plain = PLAIN.exec(text)?.[0] ?? '';
    parts.push(encoder.encode(plain));
    const stop = from + plain.length;
    if (text.charAt(stop) === '"') return { bytes: concatenate(parts), end: stop + 1 };
    const escaped = text.charAt(stop + 1);
    if (escaped === '') throw errorAt({ source, at }, 'this string has no closing "');
    if (escaped === 'x') {
      const digits = /^[0-9a-f]{2}/i.exec(text.slice(stop + 2, stop + 4))?.[0];
      if (digits === undefined)
        throw errorAt({ source, at: stop }, 'expected two hexadecimal digits after \\x');
      parts.push(Uint8Array.of(parseInt(digits, 16)));
      from = stop + 4;
    } else if (/[0-9u]/.test(escaped)) {
      const message = `expected an escape such as \\n or \\x41; \\${escaped} means nothing here`;
      throw errorAt({ source, at: stop }, message);
    } else {
      const character = ESCAPES[escaped] ?? String.fromCodePoint(text.codePointAt(stop + 1)!);
      parts.push(encoder.encode(character));
      from = stop + 1 + (character.length === 2 ? 2 : 1);
    }
  }
}

const PLAIN = /[^"\\]*/y;

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
