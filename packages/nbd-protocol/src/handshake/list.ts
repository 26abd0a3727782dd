import { NbdError } from '../errors.js';
import { checkArrived, getUint32, setUint32 } from '../integers.js';
import { decodeMessage, decodeString, encodeMessage, encodeString } from '../strings.js';

/** One export of a server, in reply to `Option.LIST`. Protocol document, `NBD_REP_SERVER`. */
export interface Server {
  readonly name: string;
  /** A text for people. */
  readonly description?: string;
}

/** @throws NbdError EINVAL for a name that `encodeString` refuses. */
export function encodeServer(server: Server): Uint8Array {
  const name = encodeString(server.name);
  const description = encodeMessage(server.description ?? '');
  const data = new Uint8Array(4 + name.length + description.length);
  setUint32(data, 0, name.length);
  data.set(name, 4);
  data.set(description, 4 + name.length);
  return data;
}

/** @throws NbdError EPROTO for data that is not as the document says. */
export function decodeServer(data: Uint8Array): Server {
  checkArrived(data, 0, 4, 'a listed export');
  const length = getUint32(data, 0);
  if (length > data.length - 4) {
    throw new NbdError(
      'EPROTO',
      `a listed export has a name of ${length} bytes in ${data.length} bytes of data`,
    );
  }
  const name = decodeString(data.subarray(4, 4 + length));
  if (data.length === 4 + length) return { name };
  return { name, description: decodeMessage(data.subarray(4 + length)) };
}
