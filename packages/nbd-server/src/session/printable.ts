/** Characters of one line of a log; the rest of a longer text is cut off. */
const LONGEST = 1000;

/** What would move the cursor, forge a second line or turn the reading direction around. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A text from anywhere as one harmless line of a log: what is not printable is written as `\u{…}`. */
export function printable(text: string): string {
  const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return short.replace(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** An error, or whatever was thrown in its place, as one harmless line of a log. */
export function describe(error: unknown): string {
  let text;
  try {
    text = String(error instanceof Error ? error.message : error);
  } catch {
    text = 'something was thrown that has no text';
  }
  return printable(text.replace(/\s*\n\s*/g, ' '));
}
