import {
  isEmpty,
  type Assignment,
  type Bytes,
  type Expression,
  type Item,
  type List,
  type Range,
} from './expression.js';
import { Scope } from './scope.js';
import { errorAt, type Place, type Source } from './source.js';
import { Tokenizer, type Token } from './tokens.js';

/**
 * Most levels of `( … )`, `*N`, `[a:b]`, names and variables in each other: a bound for everything that descends an
 * expression, at a third of what Node's usual stack holds.
 */
export const MAX_DEPTH = 1000;

/** Most characters read again: a variable that uses names of its surroundings is read anew wherever it is used. */
const MAX_READ_AGAIN = 1 << 20;

/** The content of `$name`, if there is such a variable. */
export type Variables = (name: string) => string | undefined;

/**
 * Reads a string of the data language.
 * @throws NbdError EINVAL with the line and a caret. What is wrong in parts that write nothing, such as an expression
 * that is assigned and never used, is found only as far as it makes the string unreadable.
 */
export function parse(text: string, variables: Variables): Expression {
  return new Parser(variables).parseSource({ text }, undefined, 0).expression;
}

class Parser {
  private readonly variables: Variables;
  /** What variables stand for, if that is the same wherever they are used. */
  private readonly settled = new Map<string, Expression>();
  /** Variables whose content is being read. */
  private readonly open = new Set<string>();
  private readonly read = new Set<string>();
  private readAgain = 0;

  constructor(variables: Variables) {
    this.variables = variables;
  }

  parseSource(
    source: Source,
    outer: Scope | undefined,
    depth: number,
  ): { expression: Expression; scope: Scope } {
    const scope = new Scope(outer);
    return { expression: this.list(new Tokenizer(source), scope, depth, { source, at: 0 }, 'end'), scope };
  }

  /** The items up to the closing parenthesis or the end, whichever ends this list. */
  private list(
    tokens: Tokenizer,
    scope: Scope,
    depth: number,
    place: Place,
    until: 'close' | 'end',
  ): Expression {
    if (depth >= MAX_DEPTH) throw tooDeep(place);
    const items: Item[] = [];
    for (;;) {
      const token = tokens.next();
      if (token.kind === 'close' || token.kind === 'end') {
        if (token.kind === until) return listOf(items, place);
        throw until === 'end'
          ? errorAt(token.place, 'this ) has no ( that opens it')
          : errorAt(place, 'this ( has no ) that closes it');
      } else if (token.kind === 'open') {
        items.push(this.list(tokens, new Scope(scope), depth + 1, token.place, 'close'));
      } else if (token.kind === 'repeat') {
        items.push(repeat(operand(items, token.place), token.count, token.place));
      } else if (token.kind === 'slice') {
        items.push(slice(withoutName(operand(items, token.place)), token, token.place));
      } else if (token.kind === 'assign') {
        const assigned = withoutName(operand(items, token.place));
        items.push({ kind: 'assignment', undo: scope.assign(token.name, assigned) });
      } else {
        items.push(this.item(token, scope, depth));
      }
    }
  }

  private item(token: Token, scope: Scope, depth: number): Item {
    const { place } = token;
    switch (token.kind) {
      case 'byte':
        return BYTES[token.value]!;
      case 'file':
        return { kind: 'file', path: token.path, range: undefined, place };
      case 'script':
        return { kind: 'script', text: token.text, stopAfter: undefined, place };
      case 'name':
        return reference(token.name, scope, place);
      case 'variable':
        return this.variable(token.name, scope, depth, place);
      case 'offset':
        return token;
      case 'bytes':
        return token;
      default:
        throw new TypeError(`${token.kind} is no item`);
    }
  }

  private variable(name: string, scope: Scope, depth: number, place: Place): Expression {
    const settled = this.settled.get(name);
    if (settled !== undefined) return settled;
    const text = this.variables(name);
    if (text === undefined) {
      throw errorAt(place, `there is no variable $${name}; give it as ${name}=… or in the environment`);
    }
    if (this.open.has(name)) {
      throw errorAt(
        place,
        `$${name} contains itself: ${[...this.open, name].map((n) => `$${n}`).join(' → ')}`,
      );
    }
    if (this.read.has(name)) this.readAgain += text.length;
    if (this.readAgain > MAX_READ_AGAIN) {
      throw errorAt(
        place,
        'expected variables with names in them to be used less: they come to over a million characters',
      );
    }

    this.read.add(name);
    this.open.add(name);
    const { expression, scope: own } = this.parseSource({ text, variable: `$${name}` }, scope, depth + 1);
    this.open.delete(name);
    if (!own.dependsOnOuter) this.settled.set(name, expression);
    return expression;
  }
}

/** The single bytes, which strings have many of. */
const BYTES: readonly Bytes[] = Array.from({ length: 256 }, (_, value) => ({
  kind: 'bytes',
  bytes: Uint8Array.of(value),
}));

/** What the operator after it applies to: the last item, which is taken from the list. */
function operand(items: Item[], place: Place): Expression | Assignment {
  const last = items.pop();
  if (last === undefined) throw errorAt(place, 'expected something before this that it applies to');
  if (last.kind === 'offset') throw errorAt(place, 'this does not apply to an offset; put both in ( … )');
  return last;
}

/** An operator makes a scope of its own of what it applies to: a name assigned there is gone after it. */
function withoutName(item: Expression | Assignment): Expression {
  if (item.kind !== 'assignment') return item;
  item.undo();
  return NOTHING;
}

function listOf(items: readonly Item[], place: Place): Expression {
  const written = items.filter((item) => !isEmpty(item));
  const [first] = written;
  if (first === undefined) return NOTHING;
  // In parentheses of its own, an expression is still the same one: a slice of it reads no more of a file or script.
  if (written.length === 1 && first.kind !== 'offset' && first.kind !== 'assignment') return first;
  return { kind: 'list', items: written, depth: deeper(place, written), place };
}

/** What a name stands for, in a list, so that slices do not reach into it. */
function reference(name: string, scope: Scope, place: Place): Expression {
  const found = scope.find(name);
  if (found === undefined) {
    const others = scope.some().map((other) => `\\${other}`);
    const known = others.length === 0 ? 'no name is assigned before it' : `there is ${others.join(', ')}`;
    const message = `there is no \\${name} here; ${known}`;
    return { kind: 'unknown-name', message, place };
  }
  return { kind: 'list', items: [found], depth: deeper(place, [found]), place };
}

function repeat(item: Expression | Assignment, count: bigint, place: Place): Item {
  if (count === 1n) return item;
  const inner = withoutName(item);
  if (count === 0n || isEmpty(inner)) return NOTHING;
  return { kind: 'repeat', inner, count, depth: deeper(place, [inner]), place };
}

function slice(inner: Expression, { from, to }: Range, place: Place): Expression {
  if (from === to) return NOTHING;
  if (inner.kind === 'file' && inner.range === undefined) return { ...inner, range: { from, to } };
  if (inner.kind === 'script' && inner.stopAfter === undefined && from === 0n && to !== undefined) {
    return { ...inner, stopAfter: to };
  }
  return { kind: 'slice', inner, from, to, depth: deeper(place, [inner]), place };
}

function deeper(place: Place, items: readonly Item[]): number {
  let depth = 0;
  for (const item of items) if ('depth' in item && item.depth > depth) depth = item.depth;
  if (depth >= MAX_DEPTH) throw tooDeep(place);
  return depth + 1;
}

function tooDeep(place: Place): Error {
  return errorAt(place, `expected at most ${MAX_DEPTH} levels of ( … ), operators and names in each other`);
}

const NOTHING: List = { kind: 'list', items: [], depth: 0, place: { source: { text: '' }, at: 0 } };
