import { DEFAULT_PORT } from '../constants.js';
import { NbdError } from '../errors.js';
import { checkText, percentDecode, percentEncode } from './text.js';

/** `user@host:port`, each of which may be absent. RFC 3986, section 3.2. */
export interface Authority {
  readonly username?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
}

/** @throws NbdError EINVAL for what is not understood. */
export function parseAuthority(authority: string): Authority {
  const at = authority.lastIndexOf('@');
  const match = /^(\[[^[\]]+\]|[^[\]:]*)(?::(\d*))?$/.exec(authority.slice(at + 1));
  if (match === null) {
    throw new NbdError(
      'EINVAL',
      `${authority} is not HOST or HOST:PORT; an address of IPv6 stands in brackets`,
    );
  }
  const [, host = '', port = ''] = match;
  return {
    username: at < 1 ? undefined : checkText(percentDecode(authority.slice(0, at)), 'the user name'),
    host: host === '' ? undefined : parseHost(host),
    port: port === '' ? undefined : checkPort(Number(port)),
  };
}

/** @throws NbdError EINVAL for what no URI can say. */
export function formatAuthority({ username, host, port }: Authority): string {
  const user = username === undefined ? '' : `${percentEncode(checkText(username, 'the user name'))}@`;
  return user + (host === undefined ? '' : formatHost(host)) + (port === undefined ? '' : formatPort(port));
}

function parseHost(text: string): string {
  const bracketed = text.startsWith('[');
  const host = checkHost(percentDecode(bracketed ? text.slice(1, -1) : text));
  if (bracketed !== host.includes(':')) {
    throw new NbdError('EINVAL', `${text}: brackets are for an address of IPv6`);
  }
  return host;
}

function formatHost(host: string): string {
  const encoded = percentEncode(checkHost(host));
  return host.includes(':') ? `[${encoded.replaceAll('%3A', ':')}]` : encoded;
}

function checkHost(host: string): string {
  const [, address, zone] = /^([^%]*)(?:%(.+))?$/su.exec(host) ?? [];
  const valid = host.includes(':')
    ? address !== undefined &&
      URL.canParse(`http://[${address}]`) &&
      (zone === undefined || HOST_NAME.test(zone))
    : HOST_NAME.test(host);
  if (!valid)
    throw new NbdError('EINVAL', `${JSON.stringify(host)} is neither the name of a host nor an address`);
  return host;
}

/** Names are for the resolver to judge; these characters would make another URI of it. */
const HOST_NAME = /^[^\p{Cc}\s:/?#[\]@%\\]+$/u;

function formatPort(port: number): string {
  return checkPort(port) === DEFAULT_PORT ? '' : `:${port}`;
}

function checkPort(port: number): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new NbdError('EINVAL', `port ${port} is not between 1 and 65 535`);
}
