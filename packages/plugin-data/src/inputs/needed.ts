import type { Expression, File, Item, Script } from '../language/expression.js';

/** The files and scripts that an expression writes, in the order of the string. */
export function neededInputs(expression: Expression): (File | Script)[] {
  const needed: (File | Script)[] = [];
  const seen = new Set<Item>();
  const toVisit: Item[] = [expression];
  for (let item = toVisit.pop(); item !== undefined; item = toVisit.pop()) {
    if (seen.has(item)) continue;
    seen.add(item);
    if (item.kind === 'file' || item.kind === 'script') needed.push(item);
    else if (item.kind === 'list') for (const inner of item.items.toReversed()) toVisit.push(inner);
    else if (item.kind === 'repeat' || item.kind === 'slice') toVisit.push(item.inner);
  }
  return needed;
}
