import { NbdError } from '../errors.js';

/** @throws NbdError EINVAL for half a surrogate pair, which UTF-8 can't express. */
export function percentEncode(text: string): string {
  try {
    return encodeURIComponent(text);
  } catch (cause) {
    throw new NbdError('EINVAL', `${JSON.stringify(text)} contains half a surrogate pair`, { cause });
  }
}

/** @throws NbdError EINVAL for what is not percent-encoded UTF-8. */
export function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new NbdError('EINVAL', `${text} is not percent-encoded UTF-8; write % as %25`, { cause });
  }
}

/**
 * A value that can't be empty and, since files and names end at a NUL, has none.
 * @throws NbdError EINVAL
 */
export function checkText(value: string, what: string): string {
  if (value === '') throw new NbdError('EINVAL', `${what} is empty`);
  if (value.includes('\0')) throw new NbdError('EINVAL', `${what} has a NUL in it`);
  return value;
}
