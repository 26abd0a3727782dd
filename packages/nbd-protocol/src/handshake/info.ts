import { InfoType } from '../constants.js';
import type { BlockSize } from '../device.js';
import { NbdError } from '../errors.js';
import {
  checkArrived,
  getUint16,
  getUint32,
  getUint64,
  setUint16,
  setUint32,
  setUint64,
} from '../integers.js';
import { decodeMessage, decodeString, encodeMessage, encodeString } from '../strings.js';

/** The data of `Option.INFO` and `Option.GO`. Protocol document, "Option types". */
export interface InfoRequest {
  /** Empty for the default export. */
  readonly name: string;
  /** `InfoType`s that the client would like, besides `EXPORT` which it gets anyway. Unknown ones are kept. */
  readonly infos: readonly number[];
}

/** @throws NbdError EINVAL for a name that `encodeString` refuses, or more than 65 535 infos. */
export function encodeInfoRequest(request: InfoRequest): Uint8Array {
  const { infos } = request;
  if (infos.length > 0xffff)
    throw new NbdError('EINVAL', `${infos.length} infos are asked for; 65 535 are the most`);
  const name = encodeString(request.name);
  const data = new Uint8Array(4 + name.length + 2 + 2 * infos.length);
  setUint32(data, 0, name.length);
  data.set(name, 4);
  setUint16(data, 4 + name.length, infos.length);
  for (const [index, info] of infos.entries()) setUint16(data, 6 + name.length + 2 * index, info);
  return data;
}

/** @throws NbdError EPROTO for data that is not as the document says: the session answers `ERR_INVALID`. */
export function decodeInfoRequest(data: Uint8Array): InfoRequest {
  checkArrived(data, 0, 6, 'a request for info');
  const length = getUint32(data, 0);
  if (length > data.length - 6) {
    throw new NbdError(
      'EPROTO',
      `a request for info has a name of ${length} bytes in ${data.length} bytes of data`,
    );
  }
  const name = decodeString(data.subarray(4, 4 + length));
  const count = getUint16(data, 4 + length);
  if (data.length !== 6 + length + 2 * count) {
    throw new NbdError('EPROTO', `a request for ${count} infos does not take ${data.length} bytes of data`);
  }
  const infos: number[] = [];
  for (let at = 6 + length; at < data.length; at += 2) infos.push(getUint16(data, at));
  return { name, infos };
}

/** The data of an `OptionReply.INFO`. A client ignores the kind `unknown`. Protocol document, `NBD_REP_INFO`. */
export type Info = ExportInfo | NameInfo | DescriptionInfo | BlockSizeInfo | UnknownInfo;

export interface ExportInfo {
  readonly kind: 'export';
  /** Bytes, unsigned 64 bits. */
  readonly size: bigint;
  /** `TransmissionFlag` bits, 16 of them. */
  readonly flags: number;
}

/** The server's own name for the export. */
export interface NameInfo {
  readonly kind: 'name';
  readonly name: string;
}

/** A text for people. */
export interface DescriptionInfo {
  readonly kind: 'description';
  readonly description: string;
}

/** The three numbers as they were sent, unsigned 32 bits: the rules for them are up to the session. */
export interface BlockSizeInfo extends BlockSize {
  readonly kind: 'block-size';
}

export interface UnknownInfo {
  readonly kind: 'unknown';
  /** 16 bits. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** @throws NbdError EINVAL for a name that `encodeString` refuses. */
export function encodeInfo(info: Info): Uint8Array {
  switch (info.kind) {
    case 'export': {
      const data = new Uint8Array(EXPORT_INFO_SIZE);
      setUint16(data, 0, InfoType.EXPORT);
      setUint64(data, 2, info.size);
      setUint16(data, 10, info.flags);
      return data;
    }
    case 'name':
      return withType(InfoType.NAME, encodeString(info.name));
    case 'description':
      return withType(InfoType.DESCRIPTION, encodeMessage(info.description));
    case 'block-size': {
      const data = new Uint8Array(BLOCK_SIZE_INFO_SIZE);
      setUint16(data, 0, InfoType.BLOCK_SIZE);
      setUint32(data, 2, info.minimum);
      setUint32(data, 6, info.preferred);
      setUint32(data, 10, info.maximum);
      return data;
    }
    case 'unknown':
      return withType(info.type, info.data);
  }
}

/** @throws NbdError EPROTO for data that is not as the document says. An unknown type is no error. */
export function decodeInfo(data: Uint8Array): Info {
  checkArrived(data, 0, 2, 'an info');
  const type = getUint16(data, 0);
  switch (type) {
    case InfoType.EXPORT:
      checkSize(data, EXPORT_INFO_SIZE, 'an info about the export');
      return { kind: 'export', size: getUint64(data, 2), flags: getUint16(data, 10) };
    case InfoType.NAME:
      return { kind: 'name', name: decodeString(data.subarray(2)) };
    case InfoType.DESCRIPTION:
      return { kind: 'description', description: decodeMessage(data.subarray(2)) };
    case InfoType.BLOCK_SIZE:
      checkSize(data, BLOCK_SIZE_INFO_SIZE, 'an info about block sizes');
      return {
        kind: 'block-size',
        minimum: getUint32(data, 2),
        preferred: getUint32(data, 6),
        maximum: getUint32(data, 10),
      };
    default:
      return { kind: 'unknown', type, data: data.slice(2) };
  }
}

const EXPORT_INFO_SIZE = 12;
const BLOCK_SIZE_INFO_SIZE = 14;

function withType(type: number, payload: Uint8Array): Uint8Array {
  const data = new Uint8Array(2 + payload.length);
  setUint16(data, 0, type);
  data.set(payload, 2);
  return data;
}

function checkSize(data: Uint8Array, size: number, what: string): void {
  if (data.length === size) return;
  throw new NbdError('EPROTO', `${what} takes ${size} bytes, not ${data.length}`);
}
