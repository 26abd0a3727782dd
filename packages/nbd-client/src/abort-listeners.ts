/** Something that stops when a signal aborts. */
export interface Abortable {
  /** @param reason the signal's */
  aborted(reason: unknown): void;
}

interface Listeners {
  readonly all: Set<Abortable>;
  readonly tell: () => void;
}

/**
 * All that wait for the same signal share one listener on it: any number of calls may be under way with one signal,
 * and Node warns of a leak where a signal has more than ten listeners.
 */
const listenersOf = new WeakMap<AbortSignal, Listeners>();

export function listenForAbort(signal: AbortSignal, abortable: Abortable): void {
  let listeners = listenersOf.get(signal);
  if (!listeners) {
    const all = new Set<Abortable>();
    const tell = () => {
      for (const one of all) one.aborted(signal.reason);
    };
    listeners = { all, tell };
    listenersOf.set(signal, listeners);
  }
  if (listeners.all.size === 0) signal.addEventListener('abort', listeners.tell);
  listeners.all.add(abortable);
}

/** Does nothing if it does not listen. */
export function unlistenForAbort(signal: AbortSignal, abortable: Abortable): void {
  const listeners = listenersOf.get(signal);
  if (listeners?.all.delete(abortable) !== true) return;
  // A signal of AbortSignal.any is kept in memory for as long as it has a listener.
  if (listeners.all.size === 0) signal.removeEventListener('abort', listeners.tell);
}
