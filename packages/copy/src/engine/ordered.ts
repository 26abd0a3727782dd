import { isPromise, type Awaitable } from '@nbd/protocol';

/**
 * Works on items, up to `atOnce` of them at once, and gives the results in the order of the items. When it ends before
 * its time, because something failed or nobody wants the rest, `stop` is aborted, and it is over once nothing is under
 * way any more.
 */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  atOnce: number,
  stop: AbortController,
  work: (item: Item) => Awaitable<Result>,
): AsyncGenerator<Result> {
  const underWay: Awaitable<Result>[] = [];
  try {
    for await (const item of items) {
      if (underWay.length >= atOnce) yield await underWay.shift()!;
      const result = work(item);
      // It is looked at when its turn comes: until then its failure is nobody's.
      if (isPromise(result)) result.catch(() => undefined);
      underWay.push(result);
    }
    while (underWay.length > 0) yield await underWay.shift()!;
  } finally {
    if (underWay.length > 0) stop.abort();
    await Promise.allSettled(underWay);
  }
}
