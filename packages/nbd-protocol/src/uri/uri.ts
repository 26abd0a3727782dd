import { DEFAULT_PORT } from '../constants.js';
import { isNbdError, NbdError } from '../errors.js';
import { encodeString } from '../strings.js';
import { formatAuthority, parseAuthority } from './authority.js';
import { formatQuery, parseQuery } from './query.js';
import { percentDecode, percentEncode } from './text.js';

/** What an NBD URI says: where the server is, which export, and how to do TLS. */
export type NbdUri = TcpUri | UnixUri;

export interface TcpUri extends UriParameters {
  readonly transport: 'tcp';
  /** A name or an address. That of IPv6 is without brackets, with its zone if it has one: `fe80::1%eth0`. */
  readonly host: string;
  /** 1 to 65 535. */
  readonly port: number;
}

export interface UnixUri extends UriParameters {
  readonly transport: 'unix';
  /** Path of the socket. One that starts with a NUL is a name in Linux's abstract namespace. */
  readonly socket: string;
}

export interface UriParameters {
  /** `nbds`: the connection must be encrypted. With `nbd` the parameters of TLS are for those who encrypt if they can. */
  readonly tls: boolean;
  /** Empty for the default export. */
  readonly exportName: string;
  /** For TLS with pre-shared keys. */
  readonly username?: string;
  readonly tlsType?: TlsType;
  /** Directory of the certificates and keys. */
  readonly tlsCertificates?: string;
  /** File of the pre-shared keys. */
  readonly tlsPskFile?: string;
  /** Name that the server's certificate must be for, if it is not the host's. */
  readonly tlsHostname?: string;
  /** Whether to verify who the server is. */
  readonly tlsVerifyPeer?: boolean;
}

/** Certificates, pre-shared keys, or encryption without either. */
export type TlsType = 'x509' | 'psk' | 'anon';

/**
 * Reads an NBD URI: `nbd://host:port/export`, `nbd+unix:///export?socket=PATH`, and the same with `nbds`. Absent parts
 * get their defaults: `localhost`, port 10809, the empty export name.
 *
 * ```ts
 * parseUri('nbd://example.com/disk');
 * // { transport: 'tcp', tls: false, host: 'example.com', port: 10809, exportName: 'disk' }
 * ```
 *
 * Source: the NBD URI specification (doc/uri.md beside the protocol document) and RFC 3986; characters beyond ASCII
 * need not be percent-encoded (RFC 3987).
 *
 * @throws NbdError EINVAL, with the reason, for anything that is not understood, an unknown parameter included;
 *   ENOTSUP for `nbd+vsock`, `nbds+vsock` and `nbd+ssh`.
 */
export function parseUri(text: string): NbdUri {
  try {
    return parse(text);
  } catch (error) {
    if (!isNbdError(error)) throw error;
    throw new NbdError(error.code, `${abbreviate(text)}: ${error.message}`, { cause: error });
  }
}

/**
 * The URI that {@link parseUri} reads as `uri`. What is a default is left out.
 *
 * ```ts
 * formatUri({ transport: 'unix', tls: false, socket: '/run/nbd.sock', exportName: 'a b' });
 * // 'nbd+unix:///a%20b?socket=/run/nbd.sock'
 * ```
 *
 * @throws NbdError EINVAL for what no URI can say: a port outside 1 to 65 535, a host that is neither a name nor an
 *   address, an empty socket or parameter, a NUL (but at the start of a socket), or an export name that
 *   `encodeString` refuses.
 */
export function formatUri(uri: NbdUri): string {
  encodeString(uri.exportName);
  const unix = uri.transport === 'unix';
  const scheme = `${uri.tls ? 'nbds' : 'nbd'}${unix ? '+unix' : ''}`;
  const authority = formatAuthority(unix ? { username: uri.username } : uri);
  const query = formatQuery({ ...uri, socket: unix ? uri.socket : undefined });
  return `${scheme}://${authority}/${percentEncode(uri.exportName)}${query}`;
}

/** RFC 3986, appendix B, with the authority that every NBD URI has. */
const URI = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?(#.*)?$/is;

/** Anything but the characters of RFC 3986 and, beyond ASCII, those of RFC 3987. */
const FORBIDDEN = /[^\w\-.~:/?#[\]@!$&'()*+,;=%\u{a0}-\u{d7ff}\u{e000}-\u{10ffff}]/u;

function parse(text: string): NbdUri {
  const match = URI.exec(text);
  if (match === null) throw new NbdError('EINVAL', 'not an NBD URI; write nbd://HOST/EXPORT');
  const [, scheme = '', authority = '', path = '', query = '', fragment] = match;
  const { transport, tls } = parseScheme(scheme.toLowerCase());
  const [forbidden] = FORBIDDEN.exec(text) ?? [];
  if (forbidden !== undefined) {
    throw new NbdError('EINVAL', `write ${JSON.stringify(forbidden)} as ${percentEncode(forbidden)}`);
  }
  if (fragment !== undefined) throw new NbdError('EINVAL', 'write "#" as %23');

  const { username, host, port } = parseAuthority(authority);
  // Only the slash that ends the authority is no part of the name.
  const exportName = percentDecode(path.slice(1));
  encodeString(exportName);
  const { socket, ...tlsParameters } = parseQuery(query);
  const parameters = { tls, exportName, ...(username !== undefined && { username }), ...tlsParameters };

  if (transport === 'tcp') {
    if (socket !== undefined) throw new NbdError('EINVAL', 'a socket is for nbd+unix:///EXPORT?socket=PATH');
    return { transport, host: host ?? 'localhost', port: port ?? DEFAULT_PORT, ...parameters };
  }
  if (socket === undefined)
    throw new NbdError('EINVAL', 'the path of the socket is missing; add ?socket=PATH');
  if (host !== undefined || port !== undefined) {
    throw new NbdError('EINVAL', 'a Unix socket has no host; write nbd+unix:///EXPORT?socket=PATH');
  }
  return { transport, socket, ...parameters };
}

function parseScheme(scheme: string): { transport: 'tcp' | 'unix'; tls: boolean } {
  switch (scheme) {
    case 'nbd':
      return { transport: 'tcp', tls: false };
    case 'nbds':
      return { transport: 'tcp', tls: true };
    case 'nbd+unix':
      return { transport: 'unix', tls: false };
    case 'nbds+unix':
      return { transport: 'unix', tls: true };
    case 'nbd+vsock':
    case 'nbds+vsock':
    case 'nbd+ssh':
      throw new NbdError('ENOTSUP', `${scheme} is not supported; nbd, nbds, nbd+unix and nbds+unix are`);
    default:
      throw new NbdError('EINVAL', `${scheme} is not a scheme of NBD; nbd, nbds, nbd+unix and nbds+unix are`);
  }
}

function abbreviate(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
