import type { Expression } from './expression.js';

/** The names that may be used at one place: those assigned before it, here and in the scopes around. */
export class Scope {
  private readonly names = new Map<string, Expression>();
  private readonly outer: Scope | undefined;
  /** A name was looked for that is not assigned in here: what it stands for depends on what is around. */
  dependsOnOuter = false;

  constructor(outer?: Scope) {
    this.outer = outer;
  }

  find(name: string): Expression | undefined {
    const own = this.names.get(name);
    if (own !== undefined) return own;
    this.dependsOnOuter = true;
    return this.outer?.find(name);
  }

  /** @returns what takes the assignment back. */
  assign(name: string, expression: Expression): () => void {
    const earlier = this.names.get(name);
    this.names.set(name, expression);
    return () => {
      if (earlier === undefined) this.names.delete(name);
      else this.names.set(name, earlier);
    };
  }

  /** A few of the names, for messages. */
  some(): string[] {
    const names: string[] = [];
    for (const name of this.names.keys()) if (names.push(name) === FEW) return names;
    return [...names, ...(this.outer?.some() ?? [])].slice(0, FEW);
  }
}

const FEW = 8;
