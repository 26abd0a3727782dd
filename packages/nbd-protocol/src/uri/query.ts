import { NbdError } from '../errors.js';
import { checkText, percentDecode, percentEncode } from './text.js';
import type { TlsType, UriParameters } from './uri.js';

/** What stands behind the question mark. */
export interface Query extends Omit<UriParameters, 'tls' | 'exportName' | 'username'> {
  readonly socket?: string | undefined;
}

/** @throws NbdError EINVAL for what is not understood, an unknown parameter included. */
export function parseQuery(query: string): Query {
  const given = new Map<string, string>();
  // A few programs write a semicolon where all others write an ampersand. A plus sign is a plus sign.
  for (const section of query.split(/[&;]/)) {
    if (section === '') continue;
    const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(section) ?? [];
    const key = percentDecode(name);
    if (given.has(key)) throw new NbdError('EINVAL', `${key} is given twice`);
    given.set(key, percentDecode(value));
  }
  const found: { -readonly [Key in keyof Query]: Query[Key] } = {};
  for (const [key, value] of given) {
    switch (key) {
      case 'socket':
        found.socket = checkSocket(value);
        break;
      case 'tls-type':
        found.tlsType = parseTlsType(value);
        break;
      case 'tls-certificates':
        found.tlsCertificates = checkText(value, key);
        break;
      case 'tls-psk-file':
        found.tlsPskFile = checkText(value, key);
        break;
      case 'tls-hostname':
        found.tlsHostname = checkText(value, key);
        break;
      case 'tls-verify-peer':
        found.tlsVerifyPeer = parseBoolean(value, key);
        break;
      default:
        throw new NbdError(
          'EINVAL',
          `unknown parameter ${key}; there are socket, tls-type, tls-certificates, tls-psk-file, tls-hostname and tls-verify-peer`,
        );
    }
  }
  return found;
}

/** @throws NbdError EINVAL for what no URI can say. */
export function formatQuery(query: Query): string {
  const { socket, tlsType, tlsCertificates, tlsPskFile, tlsHostname, tlsVerifyPeer } = query;
  const sections: string[] = [];
  const add = (key: string, value: string | undefined): void => {
    // Slashes need not be encoded here, and paths are easier to read with them.
    if (value !== undefined) sections.push(`${key}=${percentEncode(value).replaceAll('%2F', '/')}`);
  };
  add('socket', socket === undefined ? undefined : checkSocket(socket));
  add('tls-type', tlsType);
  for (const [key, value] of [
    ['tls-certificates', tlsCertificates],
    ['tls-psk-file', tlsPskFile],
    ['tls-hostname', tlsHostname],
  ] as const) {
    add(key, value === undefined ? undefined : checkText(value, key));
  }
  add('tls-verify-peer', tlsVerifyPeer === undefined ? undefined : tlsVerifyPeer ? '1' : '0');
  return sections.length === 0 ? '' : `?${sections.join('&')}`;
}

function parseTlsType(value: string): TlsType {
  if (value === 'x509' || value === 'psk' || value === 'anon') return value;
  throw new NbdError('EINVAL', `tls-type=${value} is not x509, psk or anon`);
}

/** The specification has 0 and 1; libnbd takes these as well. */
function parseBoolean(value: string, key: string): boolean {
  if (/^(?:1|true|t|yes|y|on)$/i.test(value)) return true;
  if (/^(?:0|false|f|no|n|off)$/i.test(value)) return false;
  throw new NbdError('EINVAL', `${key}=${value} is not 0 or 1`);
}

/** A NUL at the start means a name in the abstract namespace, which is not empty either. */
function checkSocket(socket: string): string {
  checkText(socket.startsWith('\0') ? socket.slice(1) : socket, 'socket');
  return socket;
}
