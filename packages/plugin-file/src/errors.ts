import { isNbdError, NbdError, type NbdErrorCode } from '@nbd/protocol';

/** Codes that clients are told as they are. */
const CODES: readonly NbdErrorCode[] = [
  ...([
    'EPERM',
    'EIO',
    'ENOMEM',
    'EINVAL',
    'ENOSPC',
    'ENOTSUP',
    'EACCES',
    'EBUSY',
    'EDQUOT',
    'EFBIG',
  ] as const),
  ...(['EISDIR', 'ENODEV', 'ENOENT', 'ENOTDIR', 'EROFS'] as const),
];

/** What Node's `fs` or a system call threw, as the server and its clients see it: `EIO` unless it is one of theirs. */
export function toNbdError(error: unknown, what: string, offset?: bigint): NbdError {
  if (isNbdError(error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const known = CODES.find((one) => one === code) ?? 'EIO';
  return new NbdError(known, `${what}: ${message}`, {
    cause: error,
    ...(offset !== undefined && { offset }),
  });
}

/** That a file ends earlier than it did when it was opened. */
export function truncated({ name, size }: { name: string; size: bigint }, at: bigint): NbdError {
  return new NbdError('EIO', `${name} ends at ${at}, it had ${size} bytes: somebody has truncated it`, {
    offset: at,
  });
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException | null)?.code ?? '');
}
