import { ExtentFlag } from '@nbd/protocol';

/** Bytes that are written. */
export const DATA = 0;
/** Zeroes that are written, and known to be zeroes. */
export const ZERO = ExtentFlag.ZERO;
/** Nothing is written: it reads as zeroes. */
export const HOLE = ExtentFlag.HOLE | ExtentFlag.ZERO;
