import { MAX_STRING_LENGTH } from './constants.js';
import { NbdError } from './errors.js';

/**
 * The bytes of an export name, a query or the name of a meta context. Protocol document, "Conventions".
 *
 * ```ts
 * encodeString('disk'); // Uint8Array [ 100, 105, 115, 107 ]
 * ```
 *
 * @throws NbdError EINVAL for a NUL, half a surrogate pair (UTF-8 has no place for one) or more than
 *   {@link MAX_STRING_LENGTH} bytes.
 */
export function encodeString(text: string): Uint8Array {
  if (text.includes('\0'))
    throw new NbdError('EINVAL', `${quote(text)} contains a NUL, which NBD strings can't`);
  if (LONE_SURROGATE.test(text)) {
    throw new NbdError('EINVAL', `${quote(text)} contains half a surrogate pair, which UTF-8 can't express`);
  }
  const bytes = encoder.encode(text);
  if (bytes.length > MAX_STRING_LENGTH) {
    throw new NbdError(
      'EINVAL',
      `${quote(text)} is ${bytes.length} bytes long; NBD strings hold up to ${MAX_STRING_LENGTH}`,
    );
  }
  return bytes;
}

/**
 * The string that these bytes are.
 *
 * ```ts
 * decodeString(Uint8Array.of(100, 105, 115, 107)); // 'disk'
 * ```
 *
 * @throws NbdError EPROTO for what is not UTF-8, a NUL, or more than {@link MAX_STRING_LENGTH} bytes.
 */
export function decodeString(bytes: Uint8Array): string {
  checkLength(bytes);
  if (bytes.includes(0)) throw new NbdError('EPROTO', 'the peer sent a string with a NUL in it');
  try {
    return strictDecoder.decode(unshared(bytes));
  } catch (cause) {
    throw new NbdError('EPROTO', 'the peer sent a string that is not UTF-8', { cause });
  }
}

/**
 * The bytes of a text for people: an error message or a description. It always succeeds, because it is called to
 * report what has already gone wrong: a NUL becomes U+FFFD, and what is beyond {@link MAX_STRING_LENGTH} bytes is
 * cut off.
 *
 * ```ts
 * encodeMessage('no such export'); // 14 bytes
 * ```
 */
export function encodeMessage(text: string): Uint8Array {
  const room = new Uint8Array(MAX_STRING_LENGTH);
  const { written } = encoder.encodeInto(text.replaceAll('\0', '\ufffd'), room);
  return room.subarray(0, written);
}

/**
 * A text for people. Bytes that are not UTF-8 become U+FFFD: a server's bad description or message is no reason to
 * lose its export or its error.
 *
 * ```ts
 * decodeMessage(Uint8Array.of(0x6f, 0x6b, 0xff)); // 'ok\ufffd'
 * ```
 *
 * @throws NbdError EPROTO for more than {@link MAX_STRING_LENGTH} bytes.
 */
export function decodeMessage(bytes: Uint8Array): string {
  checkLength(bytes);
  return lenientDecoder.decode(unshared(bytes)).replaceAll('\0', '\ufffd');
}

const encoder = new TextEncoder();
// ignoreBOM keeps a leading U+FEFF, which belongs to the name like any other character.
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenientDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

const LONE_SURROGATE = /\p{Surrogate}/u;

function checkLength(bytes: Uint8Array): void {
  if (bytes.length <= MAX_STRING_LENGTH) return;
  throw new NbdError(
    'EPROTO',
    `the peer sent a string of ${bytes.length} bytes; ${MAX_STRING_LENGTH} are allowed`,
  );
}

/** A copy, because browsers refuse to decode from a SharedArrayBuffer. It is 4 KiB at most. */
function unshared(bytes: Uint8Array): Uint8Array {
  return bytes.slice();
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
