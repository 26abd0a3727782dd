import { NbdError, type MetaContext } from '@nbd/protocol';

/** A meta context that a client selected, under the id that stands for it in replies. */
export type SelectedContext = MetaContext;

/**
 * The contexts that `LIST_META_CONTEXT` shows: all for no query; for `namespace:` those of a namespace.
 * Protocol document, "Metadata querying".
 * @throws NbdError EPROTO for a query without a namespace
 */
export function listContexts(contexts: readonly string[], queries: readonly string[]): SelectedContext[] {
  queries.forEach(checkQuery);
  const isMatch = (name: string) =>
    queries.length === 0 || queries.some((query) => query === name || query === namespaceOf(name));
  // "The metadata context ID in these replies is reserved and SHOULD be set to zero."
  return contexts.filter(isMatch).map((name) => ({ id: 0, name }));
}

/**
 * The contexts that `SET_META_CONTEXT` selects: those that are named, and no wildcards.
 * @throws NbdError EPROTO for a query without a namespace
 */
export function selectContexts(contexts: readonly string[], queries: readonly string[]): SelectedContext[] {
  queries.forEach(checkQuery);
  return contexts
    .map((name, index) => ({ id: index + 1, name }))
    .filter(({ name }) => queries.includes(name));
}

function namespaceOf(name: string): string {
  return name.slice(0, name.indexOf(':') + 1);
}

function checkQuery(query: string): void {
  if (query.indexOf(':') < 1)
    throw new NbdError('EPROTO', 'a meta context query starts with a namespace and a colon');
}
