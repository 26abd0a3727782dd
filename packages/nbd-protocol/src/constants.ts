// The tables of the protocol document, in its order and with its names, less their prefix. All values are unsigned.

/** The port that is registered for NBD. Protocol document, "Newstyle negotiation". */
export const DEFAULT_PORT = 10809;

/** Longest string in bytes of UTF-8: names, queries, descriptions and messages. Protocol document, "Conventions". */
export const MAX_STRING_LENGTH = 4096;

/** Longest payload in bytes where none was negotiated: 2^25. Protocol document, "Size constraints". */
export const DEFAULT_MAXIMUM_PAYLOAD = 0x200_0000;

/** Most extents that one block status chunk should hold: 2^20. Protocol document, "Structured reply types". */
export const MAX_EXTENTS = 0x10_0000;

/** The meta context that tells holes and zeroes from data. Its flags are {@link ExtentFlag}. */
export const BASE_ALLOCATION = 'base:allocation';

/** The first bytes of each message. Those of the handshake are 64 bits long, hence bigint. */
export const Magic = {
  /** ASCII `NBDMAGIC`: opens every greeting. The document calls it `INIT_PASSWD`. */
  NBDMAGIC: 0x4e42_444d_4147_4943n,
  /** ASCII `IHAVEOPT`: the second half of a newstyle greeting, and the start of every option. */
  IHAVEOPT: 0x4948_4156_454f_5054n,
  /** The second half of an oldstyle greeting. The document calls it `cliserv_magic`. */
  CLISERV: 0x0000_4202_8186_1253n,
  OPTION_REPLY: 0x0003_e889_0455_65a9n,
  REQUEST: 0x2560_9513,
  EXTENDED_REQUEST: 0x21e4_1c71,
  SIMPLE_REPLY: 0x6744_6698,
  STRUCTURED_REPLY: 0x668e_33ef,
  EXTENDED_REPLY: 0x6e8a_278c,
} as const;

/** 16 bits of the newstyle greeting. Protocol document, "Handshake flags". */
export const HandshakeFlag = {
  FIXED_NEWSTYLE: 1 << 0,
  NO_ZEROES: 1 << 1,
} as const;

/** 32 bits that the client answers the greeting with. Protocol document, "Client flags". */
export const ClientFlag = {
  FIXED_NEWSTYLE: 1 << 0,
  NO_ZEROES: 1 << 1,
} as const;

/** 16 bits: what an export can do. Protocol document, "Transmission flags". */
export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
  BLOCK_STATUS_PAYLOAD: 1 << 12,
} as const;

/** 32 bits: what the client asks for during option haggling. Protocol document, "Option types". */
export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  PEEK_EXPORT: 4,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

/** 32 bits: what the server answers an option with. Protocol document, "Option reply types". */
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_PLATFORM: 0x8000_0004,
  ERR_TLS_REQD: 0x8000_0005,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_SHUTDOWN: 0x8000_0007,
  ERR_BLOCK_SIZE_REQD: 0x8000_0008,
  ERR_TOO_BIG: 0x8000_0009,
  ERR_EXT_HEADER_REQD: 0x8000_000a,
} as const;

/** 16 bits: the items of an `OptionReply.INFO`. Protocol document, "Option reply types", `NBD_REP_INFO`. */
export const InfoType = {
  EXPORT: 0,
  NAME: 1,
  DESCRIPTION: 2,
  BLOCK_SIZE: 3,
} as const;

/** 16 bits of each request. Protocol document, "Command flags". */
export const CommandFlag = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
  PAYLOAD_LEN: 1 << 5,
} as const;

/** 16 bits of each structured or extended reply chunk. */
export const ReplyFlag = {
  /** No other chunk follows for this request. */
  DONE: 1 << 0,
} as const;

/** 16 bits: what the payload of a reply chunk is. Protocol document, "Structured reply types". */
export const ReplyType = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** 16 bits: what a request asks for. Protocol document, "Request types". */
export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  RESIZE: 8,
} as const;

/** Flags of an extent in the meta context {@link BASE_ALLOCATION}. The document calls them `NBD_STATE_…`. */
export const ExtentFlag = {
  HOLE: 1 << 0,
  ZERO: 1 << 1,
} as const;

/** 32 bits: the errors that exist on the wire. Protocol document, "Error values". */
export const ErrorValue = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;
