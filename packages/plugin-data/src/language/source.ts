import { NbdError } from '@nbd/protocol';

/** A text in the data language: the string itself, or the content of a `$VAR`. */
export interface Source {
  readonly text: string;
  /** `$VAR`; undefined for the string itself. */
  readonly variable?: string;
}

/** Where in a source, for messages. */
export interface Place {
  readonly source: Source;
  /** Index in the text. */
  readonly at: number;
}

/**
 * An error with the line it is in and a caret under the place:
 *
 * ```text
 * line 1: there is no \boot here; it has \mbr
 *   ( @0x1fe \boot )*2
 *            ^
 * ```
 */
export function errorAt({ source, at }: Place, message: string, options?: { cause?: unknown }): NbdError {
  const { text, variable } = source;
  const start = text.lastIndexOf('\n', at - 1) + 1;
  const newline = text.indexOf('\n', at);
  const line = text.slice(start, newline === -1 ? text.length : newline);
  const number = countNewlines(text, start) + 1;
  const where = variable === undefined ? `line ${number}` : `${variable}, line ${number}`;
  return new NbdError('EINVAL', `${where}: ${message}\n${excerpt(line, at - start)}`, options);
}

/** Most characters of the line to show, and of those most before the place. */
const WIDTH = 76;
const BEFORE = 50;

function excerpt(line: string, column: number): string {
  const from = column > BEFORE ? column - BEFORE : 0;
  const to = from + WIDTH;
  const before = (from > 0 ? '…' : '') + printable(line.slice(from, column));
  const after = printable(line.slice(column, to)) + (to < line.length ? '…' : '');
  return `  ${before}${after}\n  ${' '.repeat(Array.from(before).length)}^`;
}

/** One column for each character, whatever a terminal would do with it. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => (character === '\t' ? ' ' : '\u{fffd}'));
}

function countNewlines(text: string, end: number): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < end; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
