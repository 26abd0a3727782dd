import { Magic } from '../constants.js';
import {
  checkArrived,
  getUint16,
  getUint32,
  getUint64,
  setUint16,
  setUint32,
  setUint64,
  throwBadMagic,
} from '../integers.js';

/** The server's first words. Protocol document, "Newstyle negotiation" and "Oldstyle negotiation". */
export type Greeting = NewstyleGreeting | OldstyleGreeting;

export interface NewstyleGreeting {
  readonly style: 'newstyle';
  /** `HandshakeFlag` bits, 16 of them. */
  readonly flags: number;
}

/** Old servers say at once what they serve, and go straight to transmission. */
export interface OldstyleGreeting {
  readonly style: 'oldstyle';
  /** Bytes, unsigned 64 bits. */
  readonly size: bigint;
  /** 32 bits, of which the lower 16 are `TransmissionFlag` bits. */
  readonly flags: number;
}

/** A client must have this many bytes to tell with {@link greetingSize} how long the greeting is. */
export const GREETING_MAGIC_SIZE = 16;
export const GREETING_SIZE = 18;
export const OLDSTYLE_GREETING_SIZE = 152;

/**
 * How many bytes the greeting takes of which {@link GREETING_MAGIC_SIZE} have arrived.
 * @throws NbdError EPROTO if no NBD server says this.
 */
export function greetingSize(bytes: Uint8Array, at = 0): number {
  checkArrived(bytes, at, GREETING_MAGIC_SIZE, 'a greeting');
  const first = getUint64(bytes, at);
  if (first !== Magic.NBDMAGIC) throwBadMagic('a greeting', first);
  const second = getUint64(bytes, at + 8);
  if (second === Magic.IHAVEOPT) return GREETING_SIZE;
  if (second === Magic.CLISERV) return OLDSTYLE_GREETING_SIZE;
  return throwBadMagic('the second half of a greeting', second);
}

export function encodeGreeting(greeting: Greeting): Uint8Array {
  if (greeting.style === 'newstyle') {
    const bytes = new Uint8Array(GREETING_SIZE);
    setUint64(bytes, 0, Magic.NBDMAGIC);
    setUint64(bytes, 8, Magic.IHAVEOPT);
    setUint16(bytes, 16, greeting.flags);
    return bytes;
  }
  const bytes = new Uint8Array(OLDSTYLE_GREETING_SIZE);
  setUint64(bytes, 0, Magic.NBDMAGIC);
  setUint64(bytes, 8, Magic.CLISERV);
  setUint64(bytes, 16, greeting.size);
  setUint32(bytes, 24, greeting.flags);
  return bytes;
}

/**
 * Reads the greeting at `at`, where {@link greetingSize} bytes must have arrived.
 * @throws NbdError EPROTO if no NBD server says this.
 */
export function decodeGreeting(bytes: Uint8Array, at = 0): Greeting {
  const size = greetingSize(bytes, at);
  checkArrived(bytes, at, size, 'a greeting');
  if (size === GREETING_SIZE) return { style: 'newstyle', flags: getUint16(bytes, at + 16) };
  return { style: 'oldstyle', size: getUint64(bytes, at + 16), flags: getUint32(bytes, at + 24) };
}

export const CLIENT_FLAGS_SIZE = 4;

/** The client's answer to a newstyle greeting: `ClientFlag` bits. */
export function encodeClientFlags(flags: number): Uint8Array {
  const bytes = new Uint8Array(CLIENT_FLAGS_SIZE);
  setUint32(bytes, 0, flags);
  return bytes;
}

/**
 * All 32 bits: a server must close the connection for one that it does not know.
 * @throws NbdError EPROTO for fewer than {@link CLIENT_FLAGS_SIZE} bytes.
 */
export function decodeClientFlags(bytes: Uint8Array, at = 0): number {
  checkArrived(bytes, at, CLIENT_FLAGS_SIZE, "the client's flags");
  return getUint32(bytes, at);
}
