import { Command, CommandFlag, ErrorValue, errorToWire, isNbdError, type Request } from '@nbd/protocol';

/** What a client is told of a request that went wrong. */
export interface Failure {
  /** One of `ErrorValue`. */
  readonly value: number;
  /** Empty for errors that were not meant for clients. */
  readonly message: string;
  /** Bytes from the start of the export, if it happened at one place within the request. */
  readonly offset: bigint | undefined;
}

/** @param error an `NbdError` of this package's or another copy's, or whatever else a plugin has thrown */
export function failureOf(request: Request, error: unknown): Failure {
  const value = errorToWire(error);
  if (!isNbdError(error)) return { value, message: '', offset: undefined };
  // Plugins in JavaScript are not held to the types.
  const { message, offset } = error as { message: unknown; offset: unknown };
  const isWithin =
    typeof offset === 'bigint' && offset >= request.offset && offset < request.offset + request.length;
  return {
    value: isUnexpected(request, value) ? ErrorValue.EINVAL : value,
    message: String(message),
    offset: isWithin ? offset : undefined,
  };
}

/** "The server SHOULD NOT return" these "except as documented". Protocol document, "Error values". */
function isUnexpected({ command, flags }: Request, value: number): boolean {
  switch (value) {
    case ErrorValue.ENOTSUP:
      return command !== Command.WRITE_ZEROES || (flags & CommandFlag.FAST_ZERO) === 0;
    case ErrorValue.EOVERFLOW:
      return command === Command.WRITE || (command === Command.READ && (flags & CommandFlag.DF) === 0);
    default:
      return false;
  }
}
