import fc from 'fast-check';

/**
 * A random string of the language, with what it means worked out in the plainest way: every byte is written into an
 * array, every repetition again. It shares nothing with the plugin.
 */
export interface Sample {
  readonly text: string;
  /** Variables to give with it. */
  readonly variables: ReadonlyMap<string, string>;
  readonly bytes: Uint8Array;
  /** 1 where something was written, if only zeroes. */
  readonly written: Uint8Array;
}

/** One item as it is drawn. Numbers are taken to what fits when it is written down. */
type Drawn =
  | { kind: 'byte'; value: number; base: 'decimal' | 'octal' | 'hex' }
  | { kind: 'word'; order: 'le' | 'be'; bits: 16 | 32 | 64; value: bigint }
  | { kind: 'string'; text: string }
  | { kind: 'offset'; move: '' | '+' | '-' | '^'; amount: number }
  | { kind: 'list'; items: Drawn[] }
  | { kind: 'variable'; items: Drawn[] }
  | { kind: 'repeat'; inner: Drawn; count: number }
  | { kind: 'slice'; inner: Drawn; from: number; to: number; open: 'none' | 'start' | 'end' | 'both' }
  | { kind: 'assign'; inner: Drawn; name: number }
  | { kind: 'use'; name: number }
  | { kind: 'comment'; text: string };

interface Written {
  readonly text: string;
  readonly bytes: number[];
  readonly written: number[];
}

type Names = ReadonlyMap<number, Written>;

/** Most bytes of anything, so that what names and repeats can come to stays small. */
const MOST = 10_000;

const { item } = fc.letrec<{ item: Drawn; data: Drawn; list: Drawn }>((tie) => ({
  data: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({
      kind: fc.constant('byte' as const),
      value: fc.oneof(fc.constantFrom(0, 1, 8, 255), fc.nat(255)),
      base: fc.constantFrom('decimal' as const, 'octal' as const, 'hex' as const),
    }),
    fc.record({
      kind: fc.constant('word' as const),
      order: fc.constantFrom('le' as const, 'be' as const),
      bits: fc.constantFrom(16 as const, 32 as const, 64 as const),
      value: fc.bigInt(0n, (1n << 64n) - 1n),
    }),
    fc.record({
      kind: fc.constant('string' as const),
      text: fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: 'binary', maxLength: 4 })),
    }),
    fc.record({ kind: fc.constant('use' as const), name: fc.nat(3) }),
    tie('list'),
    fc.record({ kind: fc.constant('variable' as const), items: fc.array(tie('item'), { maxLength: 4 }) }),
    fc.record({
      kind: fc.constant('repeat' as const),
      inner: tie('data'),
      count: fc.oneof(fc.nat(5), fc.constantFrom(100, 5000)),
    }),
    fc.record({
      kind: fc.constant('slice' as const),
      inner: tie('data'),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      to: fc.double({ min: 0, max: 1, noNaN: true }),
      open: fc.constantFrom('none' as const, 'start' as const, 'end' as const, 'both' as const),
    }),
  ),
  list: fc.record({ kind: fc.constant('list' as const), items: fc.array(tie('item'), { maxLength: 6 }) }),
  item: fc.oneof(
    { withCrossShrink: true },
    { arbitrary: tie('data'), weight: 6 },
    {
      arbitrary: fc.record({
        kind: fc.constant('offset' as const),
        move: fc.constantFrom('' as const, '+' as const, '-' as const, '^' as const),
        amount: fc.oneof(fc.nat(40), fc.constantFrom(512, 4096, 8192)),
      }),
      weight: 3,
    },
    {
      arbitrary: fc.record({ kind: fc.constant('assign' as const), inner: tie('data'), name: fc.nat(3) }),
      weight: 3,
    },
    {
      arbitrary: fc.record({
        kind: fc.constant('comment' as const),
        text: fc.string({ maxLength: 5 }).map((text) => text.replaceAll('\n', '')),
      }),
      weight: 1,
    },
  ),
}));

export const sample: fc.Arbitrary<Sample> = fc.array(item, { maxLength: 10 }).map((items) => {
  const variables = new Map<string, string>();
  const { text, bytes, written } = writeList(items, new Map(), variables);
  return { text, variables, bytes: Uint8Array.from(bytes), written: Uint8Array.from(written) };
});

function writeList(items: readonly Drawn[], outer: Names, variables: Map<string, string>): Written {
  const names = new Map(outer);
  const words: string[] = [];
  const bytes: number[] = [];
  const written: number[] = [];
  let offset = 0;
  const extend = (): void => {
    while (bytes.length < offset) {
      bytes.push(0);
      written.push(0);
    }
  };
  for (const drawn of items) {
    if (drawn.kind === 'comment') {
      words.push(`#${drawn.text}\n`);
    } else if (drawn.kind === 'offset') {
      const { move } = drawn;
      const amount = amountOf(drawn, offset);
      words.push(`@${move}${amount}`);
      if (move === '') offset = amount;
      else if (move === '+') offset += amount;
      else if (move === '-') offset -= amount;
      else while (offset % amount !== 0) offset++;
      extend();
    } else if (drawn.kind === 'assign') {
      const inner = writeData(drawn.inner, names, variables);
      words.push(`${inner.text} -> \\n${drawn.name}`);
      names.set(drawn.name, inner);
    } else {
      const inner = writeData(drawn, names, variables);
      // Not so much that it takes long; the item is then left out.
      if (offset + inner.bytes.length > MOST) continue;
      words.push(inner.text);
      for (let i = 0; i < inner.bytes.length; i++) {
        bytes[offset + i] = inner.bytes[i]!;
        written[offset + i] = inner.written[i]!;
      }
      offset += inner.bytes.length;
    }
  }
  return { text: words.join(' '), bytes, written };
}

function amountOf({ move, amount }: { move: string; amount: number }, offset: number): number {
  if (move === '-') return Math.min(amount, offset);
  return move === '^' ? 2 ** Math.floor(Math.log2(amount + 1)) : amount;
}

function writeData(drawn: Drawn, names: Names, variables: Map<string, string>): Written {
  switch (drawn.kind) {
    case 'byte': {
      const { value, base } = drawn;
      const digits = { decimal: `${value}`, octal: `0${value.toString(8)}`, hex: `0x${value.toString(16)}` };
      return data(digits[base], [value]);
    }
    case 'word': {
      const value = BigInt.asUintN(drawn.bits, drawn.value);
      const bytes = Array.from({ length: drawn.bits / 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
      if (drawn.order === 'be') bytes.reverse();
      return data(`${drawn.order}${drawn.bits}:${String(value)}`, bytes);
    }
    case 'string': {
      const bytes = [...new TextEncoder().encode(drawn.text)];
      return data(`"${bytes.map(escaped).join('')}"`, bytes);
    }
    case 'use': {
      const known = [...names];
      if (known.length === 0) return data('()', []);
      const [name, used] = known[drawn.name % known.length]!;
      return { ...used, text: `\\n${name}` };
    }
    case 'list': {
      const inner = writeList(drawn.items, names, variables);
      return { ...inner, text: `(${inner.text}\n)` };
    }
    case 'variable': {
      const inner = writeList(drawn.items, names, variables);
      const name = `v${variables.size}`;
      variables.set(name, inner.text);
      return { ...inner, text: `$${name}` };
    }
    case 'repeat': {
      const inner = writeData(drawn.inner, names, variables);
      const count = Math.min(drawn.count, Math.floor(MOST / Math.max(1, inner.bytes.length)));
      return {
        text: `${inner.text}*${count}`,
        bytes: Array.from({ length: count }, () => inner.bytes).flat(),
        written: Array.from({ length: count }, () => inner.written).flat(),
      };
    }
    case 'slice': {
      const inner = writeData(drawn.inner, names, variables);
      const { length } = inner.bytes;
      const at = (fraction: number): number => Math.round(fraction * length);
      const from = drawn.open === 'start' || drawn.open === 'both' ? 0 : at(Math.min(drawn.from, drawn.to));
      const to = drawn.open === 'end' || drawn.open === 'both' ? length : at(Math.max(drawn.from, drawn.to));
      const bounds = {
        none: `${from}:${to}`,
        start: `:${to}`,
        end: `${from}:`,
        both: ':',
      };
      return {
        text: `${inner.text}[${bounds[drawn.open]}]`,
        bytes: inner.bytes.slice(from, to),
        written: inner.written.slice(from, to),
      };
    }
    default:
      throw new Error(`${drawn.kind} is no data`);
  }
}

function data(text: string, bytes: number[]): Written {
  return { text, bytes, written: bytes.map(() => 1) };
}

function escaped(byte: number): string {
  const character = String.fromCharCode(byte);
  if (character === '"' || character === '\\') return `\\${character}`;
  return byte >= 0x20 && byte < 0x7f ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
}
