import { Command, type ExtentSink, type RangeSink, type Request } from '@nbd/protocol';
import { Coverage } from './coverage.js';
import type { Transmission } from './transmission.js';

/** What has become of a call that is over. */
export type Fate =
  /** The server has answered, with success or an error. */
  | 'answered'
  /** It was sent, at least in part, and the connection was lost: whether it was carried out is unknown. */
  | 'unknown'
  /** Nothing of it was sent. */
  | 'unsent';

/** Whoever made a call, and is told what becomes of it. */
export interface CallOwner {
  /**
   * The call is over, and its buffers are the owner's again. Called once.
   * @param error undefined for success.
   */
  done(call: Call, error: Error | undefined, fate: Fate): void;
  /** Nothing of the call is under way any more. It may be done by then, or be done later. Called once. */
  gone(call: Call): void;
}

/** One request on a connection: what is sent, where the reply goes, and whom to tell. */
export class Call implements Request {
  readonly owner: CallOwner;
  readonly command: number;
  /** Flags of the command, less those that only say how the request is written. */
  flags: number;
  /** Bytes from the start of the export. */
  readonly offset: bigint;
  /** Bytes of effect. */
  readonly length: bigint;
  /** Where the data of a read goes; undefined once nobody wants it. */
  into: Uint8Array | undefined;
  /** The data of a write. */
  readonly from: Uint8Array | undefined;
  /** Told of the holes in what is read. */
  holes: RangeSink | undefined;
  /** Told of extents, of this meta context. */
  extents: ExtentSink | undefined;
  context = '';
  /** Only that context is asked for, by a payload (`TransmissionFlag.BLOCK_STATUS_PAYLOAD`). */
  oneContext = false;

  /** Bytes of data that it carries, in either direction. */
  readonly weight: number;
  /** What it was given to. */
  transmission: Transmission | undefined;

  // What follows belongs to the session.

  /** Tells the reply to it from others; 0 until it is sent. */
  cookie = 0n;
  /** The transport has the data of the write. */
  sending = false;
  /** The transport has the buffer of the read, though it was given up. */
  lent = false;
  abandoned = false;
  state: 'unsent' | 'sent' | 'answered' | 'lost' = 'unsent';
  /** Id of {@link context} on this connection. */
  contextId = 0;
  /** The owner was told that it is over. */
  settled = false;
  /** The error that it ends with: the first that the server reports, or the one that it was given up for. */
  error: Error | undefined;
  /** Content chunks so far. */
  chunks = 0;
  /** Ids of the meta contexts that have been answered. */
  contextsSeen: Set<number> | undefined;
  #coverage: Coverage | undefined;

  /** @param buffer of a read or a write: `length` bytes */
  constructor(
    owner: CallOwner,
    command: number,
    flags: number,
    offset: bigint,
    length: bigint,
    buffer?: Uint8Array,
  ) {
    this.owner = owner;
    this.command = command;
    this.flags = flags;
    this.offset = offset;
    this.length = length;
    this.weight = buffer?.length ?? 0;
    if (command === Command.WRITE) this.from = buffer;
    else this.into = buffer;
  }

  get coverage(): Coverage {
    return (this.#coverage ??= new Coverage());
  }
}
