/** What one client may ask of a session. See `docs/security.md`. */
export interface SessionLimits {
  /** Milliseconds from the connection to the transmission phase. 10 000 unless told otherwise; 0 for none. */
  readonly handshakeTime: number;
  /** Options that a client may send; the next one ends the connection. 4 096. */
  readonly options: number;
  /** Bytes of one option's data that are looked at; a longer one is skipped and answered `ERR_TOO_BIG`. 65 536. */
  readonly optionLength: number;
  /** Bytes of payload of one read or write; it is what is advertised as maximum, if the device has no lower. 32 MiB. */
  readonly payload: number;
  /** Requests under way on one connection; further ones wait in the socket. 256. */
  readonly requests: number;
  /** Bytes of payload under way on one connection, replies not yet sent included. 64 MiB. */
  readonly bytes: number;
  /** Milliseconds without a request under way after which a client is disconnected. 0 (never). */
  readonly idleTime: number;
  /** Milliseconds that requests under way get to finish when the server ends. 10 000. */
  readonly graceTime: number;
}

export const DEFAULT_LIMITS: SessionLimits = {
  handshakeTime: 10_000,
  options: 4096,
  optionLength: 65_536,
  payload: 32 << 20,
  requests: 256,
  bytes: 64 << 20,
  idleTime: 0,
  graceTime: 10_000,
};

/** An option longer than this is not even skipped: the connection ends. */
export const ABSURD_OPTION = 4 << 20;

/** A write longer than this is not even skipped: the connection ends. */
export const ABSURD_PAYLOAD = 128 << 20;

/** Bytes that a zero without a command of its own may write. */
export const MAX_EMULATED_ZERO = 1n << 30n;

/** Extents in one block status reply. The document allows 2^20; a client asks again for the rest. */
export const MAX_EXTENTS = 1 << 16;
