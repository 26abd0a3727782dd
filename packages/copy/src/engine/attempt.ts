import { isPromise, NbdError, type Awaitable } from '@nbd/protocol';

/** Calls a device, and says in its error what was being done where. It rejects, and never throws. */
export function attempt<T>(
  doing: string,
  offset: bigint | undefined,
  call: () => Awaitable<T>,
): Awaitable<T> {
  try {
    const result = call();
    if (!isPromise(result)) return result;
    return result.catch((error: unknown) => {
      throw during(doing, offset, error);
    });
  } catch (error) {
    return Promise.reject(during(doing, offset, error));
  }
}

/** The error, with what was being done and the offset in front. */
export function during(doing: string, offset: bigint | undefined, error: unknown): NbdError {
  const { code, message, offset: place = offset } = error as Partial<NbdError>;
  const known = typeof code === 'string' ? code : 'EIO';
  const where = place === undefined ? '' : ` at offset ${place}`;
  return new NbdError(known, `${doing} failed${where}: ${known}, ${message ?? String(error)}`, {
    cause: error,
    ...(place !== undefined && { offset: place }),
  });
}
