import { NbdError } from '../errors.js';
import { checkArrived, getUint32, setUint32 } from '../integers.js';
import { decodeString, encodeString } from '../strings.js';

/** The data of `Option.LIST_META_CONTEXT` and `Option.SET_META_CONTEXT`. Protocol document, "Option types". */
export interface MetaContextRequest {
  /** Name of the export, empty for the default one. */
  readonly name: string;
  /** Such as `base:allocation`, or `base:` for all of a namespace when listing. */
  readonly queries: readonly string[];
}

/** @throws NbdError EINVAL for a name or a query that `encodeString` refuses. */
export function encodeMetaContextRequest(request: MetaContextRequest): Uint8Array {
  const name = encodeString(request.name);
  const queries = request.queries.map(encodeString);
  const data = new Uint8Array(queries.reduce((size, query) => size + 4 + query.length, 4 + name.length + 4));
  let at = putString(data, 0, name);
  setUint32(data, at, queries.length);
  at += 4;
  for (const query of queries) at = putString(data, at, query);
  return data;
}

/** @throws NbdError EPROTO for data that is not as the document says: the session answers `ERR_INVALID`. */
export function decodeMetaContextRequest(data: Uint8Array): MetaContextRequest {
  const name = takeString(data, 0);
  let at = 4 + name.length;
  checkArrived(data, at, 4, 'the number of meta context queries');
  const count = getUint32(data, at);
  at += 4;
  const queries: string[] = [];
  // The count is not trusted: each query takes 4 bytes at least, and the first that is missing ends the loop.
  for (let index = 0; index < count; index++) {
    const query = takeString(data, at);
    queries.push(decodeString(query));
    at += 4 + query.length;
  }
  if (at !== data.length) {
    throw new NbdError(
      'EPROTO',
      `${data.length - at} bytes follow the last of ${count} meta context queries`,
    );
  }
  return { name: decodeString(name), queries };
}

/** The data of an `OptionReply.META_CONTEXT`. */
export interface MetaContext {
  /** What block status chunks name it by, unsigned 32 bits. Reserved in a reply to `LIST_META_CONTEXT`. */
  readonly id: number;
  readonly name: string;
}

/** @throws NbdError EINVAL for a name that `encodeString` refuses. */
export function encodeMetaContext(context: MetaContext): Uint8Array {
  const name = encodeString(context.name);
  const data = new Uint8Array(4 + name.length);
  setUint32(data, 0, context.id);
  data.set(name, 4);
  return data;
}

/** @throws NbdError EPROTO for data that is not as the document says. */
export function decodeMetaContext(data: Uint8Array): MetaContext {
  checkArrived(data, 0, 4, 'a meta context');
  return { id: getUint32(data, 0), name: decodeString(data.subarray(4)) };
}

/** Writes a string after its length, and returns where the next field goes. */
function putString(data: Uint8Array, at: number, text: Uint8Array): number {
  setUint32(data, at, text.length);
  data.set(text, at + 4);
  return at + 4 + text.length;
}

/** The bytes of a string that stands after its length. */
function takeString(data: Uint8Array, at: number): Uint8Array {
  checkArrived(data, at, 4, 'the length of a string');
  const length = getUint32(data, at);
  checkArrived(data, at + 4, length, 'a string');
  return data.subarray(at + 4, at + 4 + length);
}
