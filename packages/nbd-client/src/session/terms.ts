import {
  DEFAULT_MAXIMUM_PAYLOAD,
  MAX_DEVICE_SIZE,
  TransmissionFlag,
  type BlockSize,
  type TlsIdentity,
} from '@nbd/protocol';
import { broken } from './dialogue.js';

/** What client and server have agreed on: all that is known of an export and of how to speak with its server. */
export interface Terms {
  /** `oldstyle` has no options, `newstyle` has the export name only, `fixed-newstyle` has all. */
  readonly protocol: 'oldstyle' | 'newstyle' | 'fixed-newstyle';
  /** Who the server proved to be; undefined where the connection is in the clear. */
  readonly tls: TlsIdentity | undefined;
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;

  /** The name that was asked for. */
  readonly exportName: string;
  /** The server's own name for the export, if it says one. */
  readonly canonicalName: string | undefined;
  /** One line for people, if the server says one. */
  readonly description: string | undefined;
  /** Bytes, 0 to 2^63 - 1. */
  readonly size: bigint;
  /** `TransmissionFlag` bits; 0 for a server that sends no flags. */
  readonly flags: number;
  /** In bytes; the protocol's defaults where the server says nothing. */
  readonly blockSize: BlockSize;
  /** Whether the server itself said {@link blockSize}. */
  readonly blockSizeAdvertised: boolean;
  /** The meta contexts that were agreed on, with the id that the server uses for each. */
  readonly contexts: ReadonlyMap<string, number>;
}

/** Protocol document, "Size constraints". */
export const DEFAULT_BLOCK_SIZE: BlockSize = {
  minimum: 1,
  preferred: 4096,
  maximum: DEFAULT_MAXIMUM_PAYLOAD,
};

/** @throws NbdError EPROTO for a size that is none: libnbd crashed on these (CVE-2023-5215). */
export function checkSize(size: bigint): bigint {
  if (size <= MAX_DEVICE_SIZE) return size;
  throw broken(`says that the export has ${size} bytes; 2^63 - 1 are the most`);
}

/** The flags, none of which mean anything without the first. */
export function checkFlags(flags: number): number {
  return (flags & TransmissionFlag.HAS_FLAGS) === 0 ? 0 : flags & 0xffff;
}

/** @throws NbdError EPROTO for sizes that break a rule of "Size constraints". */
export function checkBlockSize({ minimum, preferred, maximum }: BlockSize): BlockSize {
  const rule = !isPowerOf2(minimum)
    ? 'the minimum is no power of 2'
    : minimum > 65_536
      ? 'the minimum is above 65 536'
      : !isPowerOf2(preferred)
        ? 'the preferred one is no power of 2'
        : preferred < Math.max(512, minimum)
          ? 'the preferred one is below 512 or the minimum'
          : maximum < preferred
            ? 'the maximum is below the preferred one'
            : undefined;
  if (rule === undefined) return { minimum, preferred, maximum };
  throw broken(`says block sizes of ${minimum}, ${preferred} and ${maximum} bytes: ${rule}`);
}

function isPowerOf2(n: number): boolean {
  return n > 0 && Number.isInteger(Math.log2(n));
}
