import { BASE_ALLOCATION, TransmissionFlag, type DeviceInfo } from '@nbd/protocol';
import type { Terms } from './session/terms.js';

/** What an export can do, as its server says. Protocol document, "Transmission flags". */
export interface Features {
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly flush: boolean;
  readonly fua: boolean;
  readonly trim: boolean;
  readonly zero: boolean;
  readonly fastZero: boolean;
  readonly cache: boolean;
  /** Reads may ask not to be fragmented. */
  readonly df: boolean;
  /** Several connections may be used at once. */
  readonly multiConn: boolean;
  /** Block status may be asked for one meta context of several. */
  readonly blockStatusPayload: boolean;
}

/** @param flags `TransmissionFlag` bits */
export function featuresOf(flags: number): Features {
  const has = (flag: number) => (flags & flag) !== 0;
  const readOnly = has(TransmissionFlag.READ_ONLY);
  return {
    readOnly,
    rotational: has(TransmissionFlag.ROTATIONAL),
    flush: has(TransmissionFlag.SEND_FLUSH),
    fua: has(TransmissionFlag.SEND_FUA),
    trim: has(TransmissionFlag.SEND_TRIM),
    zero: has(TransmissionFlag.SEND_WRITE_ZEROES),
    fastZero: has(TransmissionFlag.SEND_FAST_ZERO),
    cache: has(TransmissionFlag.SEND_CACHE),
    df: has(TransmissionFlag.SEND_DF),
    multiConn: has(TransmissionFlag.CAN_MULTI_CONN),
    blockStatusPayload: has(TransmissionFlag.BLOCK_STATUS_PAYLOAD),
  };
}

/** The same in the terms of a `BlockDevice`. */
export function deviceInfoOf(terms: Terms): DeviceInfo {
  const { readOnly, rotational, multiConn, fastZero, fua } = featuresOf(terms.flags);
  return {
    readOnly,
    rotational,
    multiConn,
    fastZero,
    fua,
    blockSize: terms.blockSize,
    contexts: [...terms.contexts.keys()].filter((name) => name !== BASE_ALLOCATION),
    ...(terms.description === undefined ? {} : { description: terms.description }),
  };
}
