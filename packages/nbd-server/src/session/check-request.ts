import {
  Command,
  CommandFlag,
  NbdError,
  TransmissionFlag,
  type NbdErrorCode,
  type Request,
} from '@nbd/protocol';
import type { Agreement } from './agreement.js';

/** A request that the device never sees, and why. */
type Refusal = NbdError | undefined;

/**
 * Checks a request against what was agreed on: command, flags, bounds, alignment and permission. Protocol document,
 * "Request types", "Command flags", "Error values", "Size constraints".
 */
export class RequestChecker {
  readonly #size: bigint;
  readonly #readOnly: boolean;
  readonly #maximum: bigint;
  /** Minimum block size - 1, where the client is held to it. */
  readonly #mask: bigint;
  /** Bytes of the payload of a block status that names each context. */
  readonly #longestFilter: bigint;
  /** For each command number: the flags that it takes, or undefined where the command is refused. */
  readonly #flags: readonly (number | undefined)[];

  constructor(agreement: Agreement) {
    const { export: served, blockSizeKnown } = agreement;
    this.#size = served.device.size;
    this.#readOnly = served.readOnly;
    this.#maximum = BigInt(served.blockSize.maximum);
    this.#mask = blockSizeKnown ? BigInt(served.blockSize.minimum - 1) : 0n;
    this.#longestFilter = 8n + 4n * BigInt(agreement.contexts.length);
    this.#flags = commandFlags(agreement);
  }

  /** @returns the error to answer with, or undefined for a request that the device can be asked for */
  check(request: Request): Refusal {
    const { command, flags, offset, length } = request;
    const allowed = this.#flags[command];
    if (allowed === undefined) return this.#refuseCommand(command);
    if ((flags & ~allowed) !== 0)
      return refuse('EINVAL', `flags 0x${(flags & ~allowed).toString(16)} with ${name(command)}`);
    if (command === Command.FLUSH) {
      return offset === 0n && length === 0n
        ? undefined
        : refuse('EINVAL', 'FLUSH has no offset and no length');
    }
    if (command === Command.BLOCK_STATUS && (flags & CommandFlag.PAYLOAD_LEN) !== 0) {
      // `length` is that of the payload, which says what the request is about.
      return length > this.#longestFilter
        ? refuse('EINVAL', 'context ids that are unknown or named twice')
        : undefined;
    }
    const refusal = this.checkRange(request, length);
    if (refusal) return refusal;
    if ((command === Command.READ || command === Command.WRITE) && length > this.#maximum) {
      return refuse('EINVAL', `${name(command)} of ${length} bytes: ${this.#maximum} are the most`);
    }
    return undefined;
  }

  /** Checks bounds and alignment of what a request is about: `length` bytes from its offset. */
  checkRange({ command, offset }: Request, length: bigint): Refusal {
    if (offset + length > this.#size) {
      return refuse(
        outOfBounds(command),
        `${name(command)} of ${length} bytes at ${offset}: the export has ${this.#size}`,
      );
    }
    if (((offset | length) & this.#mask) !== 0n) {
      return refuse(
        'EINVAL',
        `${name(command)} of ${length} bytes at ${offset} is not aligned to ${this.#mask + 1n}`,
      );
    }
    return undefined;
  }

  #refuseCommand(command: number): NbdError {
    const writes = command === Command.WRITE || command === Command.WRITE_ZEROES || command === Command.TRIM;
    if (writes && this.#readOnly) return refuse('EPERM', 'the export is read-only');
    return refuse('EINVAL', `${name(command)} is not offered here`);
  }
}

function commandFlags({
  flags,
  export: served,
  structuredReplies,
  extendedHeaders,
  contexts,
}: Agreement): (number | undefined)[] {
  const offers = (flag: number) => (flags & flag) !== 0;
  // "This flag is valid for all commands, provided NBD_FLAG_SEND_FUA has been negotiated."
  const fua = offers(TransmissionFlag.SEND_FUA) ? CommandFlag.FUA : 0;
  const allowed: (number | undefined)[] = [];
  allowed[Command.READ] = fua | (structuredReplies ? CommandFlag.DF : 0);
  if (!served.readOnly) allowed[Command.WRITE] = fua | (extendedHeaders ? CommandFlag.PAYLOAD_LEN : 0);
  if (offers(TransmissionFlag.SEND_FLUSH)) allowed[Command.FLUSH] = fua;
  if (offers(TransmissionFlag.SEND_TRIM)) allowed[Command.TRIM] = fua;
  if (offers(TransmissionFlag.SEND_CACHE)) allowed[Command.CACHE] = fua;
  if (offers(TransmissionFlag.SEND_WRITE_ZEROES)) {
    allowed[Command.WRITE_ZEROES] = fua | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO;
  }
  if (contexts.length > 0) {
    const filtered = offers(TransmissionFlag.BLOCK_STATUS_PAYLOAD) ? CommandFlag.PAYLOAD_LEN : 0;
    allowed[Command.BLOCK_STATUS] = fua | CommandFlag.REQ_ONE | filtered;
  }
  return allowed;
}

function outOfBounds(command: number): NbdErrorCode {
  return command === Command.WRITE || command === Command.WRITE_ZEROES ? 'ENOSPC' : 'EINVAL';
}

const NAMES = new Map<number, string>(Object.entries(Command).map(([text, value]) => [value, text]));

function name(command: number): string {
  return NAMES.get(command) ?? `command ${command}`;
}

function refuse(code: NbdErrorCode, message: string): NbdError {
  return new NbdError(code, message);
}
