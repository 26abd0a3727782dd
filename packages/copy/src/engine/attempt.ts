import { isPromise, NbdError, type Awaitable } from '@nbd/protocol';

/** Calls a device, and says in its error what was being done where. */
export function attempt(doing: string, offset: bigint, call: () => Awaitable<void>): Awaitable<void> {
  try {
    const result = call();
    if (!isPromise(result)) return result;
    return result.catch((error: unknown) => {
      throw during(doing, offset, error);
    });
  } catch (error) {
    throw during(doing, offset, error);
  }
}

/** What a device threw, with what was being done where. */
export function during(doing: string, offset: bigint, error: unknown): NbdError {
  const { code, message, offset: place } = error as Partial<NbdError>;
  const at = place ?? offset;
  const known = typeof code === 'string' ? code : 'EIO';
  return new NbdError(known, `${doing} failed at offset ${at}: ${known}, ${message ?? String(error)}`, {
    cause: error,
    offset: at,
  });
}
