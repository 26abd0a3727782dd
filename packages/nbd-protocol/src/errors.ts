/**
 * The POSIX codes that an {@link NbdError} carries. The first eight exist on the wire (protocol document,
 * "Error values"); the others are what devices and sockets meet, and are mapped by `errorToWire`.
 */
export type NbdErrorCode =
  | 'EPERM'
  | 'EIO'
  | 'ENOMEM'
  | 'EINVAL'
  | 'ENOSPC'
  | 'EOVERFLOW'
  | 'ENOTSUP'
  | 'ESHUTDOWN'
  | 'EACCES'
  | 'EBUSY'
  | 'ECANCELED'
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'EDQUOT'
  | 'EEXIST'
  | 'EFBIG'
  | 'EISDIR'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOTDIR'
  | 'EPIPE'
  | 'EPROTO'
  | 'EROFS'
  | 'ETIMEDOUT';

const BRAND = Symbol.for('@nbd/protocol:NbdError');

/**
 * The one error that crosses package boundaries: a POSIX code and a message for people.
 *
 * `EPROTO` means that the peer broke a rule of the protocol. In a header it leaves the stream out of step, and the
 * connection can only be closed; in data of known length the session may answer with an error and go on.
 *
 * ```ts
 * throw new NbdError('ENOSPC', 'the disk image reached its limit of 10 GiB');
 * ```
 */
export class NbdError extends Error {
  override readonly name = 'NbdError';
  readonly code: NbdErrorCode;
  /** Where on the disk it happened, in bytes from its start, if it happened at one place. */
  readonly offset: bigint | undefined;

  /**
   * @param message for people: what failed, on what, and what to do. A server may send it to the client.
   * @param options.cause the error that this one comes from.
   * @param options.offset bytes from the start of the disk.
   */
  constructor(code: NbdErrorCode, message: string, options?: { cause?: unknown; offset?: bigint }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.offset = options?.offset;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Whether `error` is an {@link NbdError}, also one of another copy of this package in the same process. */
export function isNbdError(error: unknown): error is NbdError {
  return typeof error === 'object' && error !== null && BRAND in error;
}
