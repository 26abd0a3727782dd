import { scanInteger, scanSize, type Scanned } from './numbers.js';
import { errorAt, type Place, type Source } from './source.js';
import { scanString } from './strings.js';

/** A word of the language. Operators include their numbers, since what may stand in one depends on where it stands. */
export type Token = { readonly place: Place } & (
  | { readonly kind: 'byte'; readonly value: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'offset'; readonly move: 'to' | 'forward' | 'back' | 'align'; readonly amount: bigint }
  | { readonly kind: 'open' | 'close' | 'end' }
  | { readonly kind: 'repeat'; readonly count: bigint }
  | { readonly kind: 'slice'; readonly from: bigint; readonly to: bigint | undefined }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'script'; readonly text: string }
  | { readonly kind: 'name' | 'assign' | 'variable'; readonly name: string }
);

/** Cuts a source into tokens. */
export class Tokenizer {
  private readonly source: Source;
  private at = 0;

  constructor(source: Source) {
    this.source = source;
  }

  /** The next token; at the end of the source one of kind `end`, again and again. */
  next(): Token {
    while (this.take(SPACE) !== undefined || this.take(COMMENT) !== undefined);
    const place = this.here();
    const character = this.source.text.charAt(this.at);
    switch (character) {
      case '':
        return { kind: 'end', place };
      case '(':
        this.at++;
        return { kind: 'open', place };
      case ')':
        this.at++;
        return { kind: 'close', place };
      case '@':
        return this.offset(place);
      case '*':
        this.at++;
        return { kind: 'repeat', count: this.size('a count'), place };
      case '[':
        return this.slice(place);
      case '<':
        return this.take(/<\(/y) === undefined ? this.file(place) : this.script(place);
      case '"': {
        const { bytes, end } = scanString(this.source, this.at);
        this.at = end;
        return { kind: 'bytes', bytes, place };
      }
      case '\\':
        return { kind: 'name', name: this.name('expected a name after \\'), place };
      case '-':
        if (this.take(/->[ \t\n\v\f\r]*/y) === undefined) throw errorAt(place, 'expected -> \\name');
        return { kind: 'assign', name: this.name('expected a \\name after ->'), place };
      case '$':
        return this.variable(place);
      default:
        return this.word(place) ?? this.byte(place);
    }
  }

  private offset(place: Place): Token {
    const sign = this.take(/@[+^-]?/y)!.slice(1);
    if (sign === '+') return { kind: 'offset', move: 'forward', amount: this.size('a distance'), place };
    if (sign === '-') return { kind: 'offset', move: 'back', amount: this.size('a distance'), place };
    if (sign === '^') {
      const amount = this.size('an alignment');
      if (amount === 0n || (amount & (amount - 1n)) !== 0n) {
        throw errorAt(place, `expected an alignment that is a power of two; ${String(amount)} is none`);
      }
      return { kind: 'offset', move: 'align', amount, place };
    }
    if (!/[0-9]/.test(this.source.text.charAt(this.at))) {
      throw errorAt(this.here(), 'expected an offset such as @512, @0x200 or @4k, or @+N, @-N, @^N');
    }
    return { kind: 'offset', move: 'to', amount: this.size('an offset'), place };
  }

  private slice(place: Place): Token {
    this.at++;
    const bound = (end: string): bigint | undefined =>
      this.source.text.startsWith(end, this.at) ? undefined : this.size('an offset in the slice');
    const from = bound(':') ?? 0n;
    if (this.take(/:/y) === undefined) throw errorAt(this.here(), 'expected : as in [from:to]');
    const to = bound(']');
    if (this.take(/\]/y) === undefined) throw errorAt(this.here(), 'expected ] as in [from:to]');
    return { kind: 'slice', from, to, place };
  }

  private file(place: Place): Token {
    const path = this.take(/<[^*[) \t\n]*/y)!.slice(1);
    if (path === '') throw errorAt(place, 'expected the name of a file right after <');
    return { kind: 'file', path, place };
  }

  private script(place: Place): Token {
    const start = this.at;
    for (let depth = 1; depth > 0; this.at++) {
      this.take(/[^()]+/y);
      const character = this.source.text.charAt(this.at);
      if (character === '') throw errorAt(place, 'this <( has no ) that closes it');
      depth += character === '(' ? 1 : -1;
    }
    const text = this.source.text.slice(start, this.at - 1);
    if (text === '') throw errorAt(place, 'expected a script between <( and )');
    return { kind: 'script', text, place };
  }

  private name(expected: string): string {
    const name = this.take(/\\[A-Za-z0-9_-]+/y)?.slice(1);
    if (name === undefined) throw errorAt(this.here(), `${expected}, of letters, digits, - and _`);
    if (name.endsWith('-') && this.source.text.charAt(this.at) === '>') {
      throw errorAt(this.here(), `expected a space before ->; the name here is \\${name}`);
    }
    return name;
  }

  private variable(place: Place): Token {
    const name = this.take(/\$[A-Za-z_][A-Za-z0-9_]*/y)?.slice(1);
    if (name === undefined) {
      throw errorAt(place, 'expected a variable such as $pattern: letters, digits and _ after the $');
    }
    return { kind: 'variable', name, place };
  }

  /** `le16:N` to `be64:N` */
  private word(place: Place): Token | undefined {
    const [, order, bits] = /([lb]e)(16|32|64):/.exec(this.take(/[lb]e(?:16|32|64):/y) ?? '') ?? [];
    if (order === undefined) return undefined;
    this.take(/\+/y);
    const length = Number(bits) / 8;
    const max = (1n << BigInt(bits!)) - 1n;
    const { value } = this.scanned(scanInteger(this.source, this.at, max), `a number of ${bits!} bits`);
    if (/[A-Za-z0-9_]/.test(this.source.text.charAt(this.at))) {
      throw errorAt(this.here(), `expected the end of the number of ${bits!} bits`);
    }
    const bytes = Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
    return { kind: 'bytes', bytes: order === 'le' ? bytes : bytes.reverse(), place };
  }

  private byte(place: Place): Token {
    const { value } = this.scanned(
      scanInteger(this.source, this.at, 255n),
      'a byte (0 to 255), le16: to be64:, a "string", @offset, <file, <(script), ( … ), \\name or $VAR',
    );
    return { kind: 'byte', value: Number(value), place };
  }

  private size(what: string): bigint {
    return this.scanned(scanSize(this.source, this.at, what), what).value;
  }

  private scanned(scanned: Scanned | undefined, expected: string): Scanned {
    if (scanned === undefined) throw errorAt(this.here(), `expected ${expected}`);
    this.at = scanned.end;
    return scanned;
  }

  /** Goes past what the sticky pattern matches here. */
  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.source.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  private here(): Place {
    return { source: this.source, at: this.at };
  }
}

const SPACE = /[ \t\n\v\f\r]+/y;
const COMMENT = /#[^\n]*/y;
