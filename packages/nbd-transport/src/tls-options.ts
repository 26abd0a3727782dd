import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions, TlsOptions } from 'node:tls';
import { NbdError } from '@nbd/protocol';
import { readCertificates } from './certificates.js';
import { nodeTls } from './node-tls.js';
import { readPskFile } from './psk-file.js';

export interface ServerTlsFiles {
  /** A directory with `server-cert.pem`, `server-key.pem`, and to verify clients `ca-cert.pem` (`ca-crl.pem`). */
  readonly certificates?: string;
  /** A file of `user:hexkey` lines. Where both are given, a client may come with either. */
  readonly psk?: string;
  /** Only clients with a certificate of the authority, or with a pre-shared key, are let in; false by default. */
  readonly verifyPeer?: boolean;
}

/**
 * What {@link tlsServer} needs, from the files that NBD tools share.
 *
 * ```ts
 * const upgrade = tlsServer(await serverTlsOptions({ certificates: '/etc/pki/nbd', verifyPeer: true }));
 * ```
 *
 * @throws NbdError EINVAL if neither certificates nor keys are given, or a file holds nonsense; ENOENT or EACCES if a
 *   file can't be read.
 */
export async function serverTlsOptions(files: ServerTlsFiles): Promise<TlsOptions> {
  const { certificates, psk, verifyPeer = false } = files;
  if (certificates === undefined && psk === undefined) {
    throw new NbdError(
      'EINVAL',
      'a TLS server needs a directory of certificates or a file of pre-shared keys',
    );
  }
  const options: TlsOptions = {};
  if (certificates !== undefined) {
    Object.assign(options, await readCertificates(certificates, 'server', { verifyPeer }));
    if (verifyPeer) Object.assign(options, { requestCert: true, rejectUnauthorized: true });
  }
  if (psk !== undefined) {
    const keys = await readPskFile(psk);
    options.pskCallback = (_socket, identity) => keys.get(identity) ?? null;
    options.ciphers = [...PSK_CIPHERS, ...(certificates === undefined ? [] : certificateCiphers())].join(':');
    options.dhparam = 'auto';
  }
  return options;
}

export interface ClientTlsFiles {
  /**
   * A directory with `ca-cert.pem` (`ca-crl.pem`) and, where the server asks for it, `client-cert.pem` and
   * `client-key.pem`. Without it and without `psk`, the first directory of {@link certificateDirectories} that has a
   * `ca-cert.pem` is taken; without any, the authorities that Node trusts.
   */
  readonly certificates?: string;
  /** A file of `user:hexkey` lines. */
  readonly psk?: string;
  /** Whose key it is. By default the local user's, or the only one in the file. */
  readonly username?: string;
  /** The name that the server's certificate must be for; `localhost` by default. */
  readonly hostname?: string;
  /** False takes any certificate, and so anyone who sits in between; true by default. */
  readonly verifyPeer?: boolean;
}

/**
 * What {@link tlsClient} needs, from the files that NBD tools share.
 *
 * ```ts
 * const upgrade = tlsClient(await clientTlsOptions({ psk: 'keys.psk', username: 'alice' }));
 * ```
 *
 * @throws NbdError EINVAL if both certificates and keys are given, the user has no key, or a file holds nonsense;
 *   ENOENT or EACCES if a file can't be read.
 */
export async function clientTlsOptions(files: ClientTlsFiles): Promise<ConnectionOptions> {
  const { certificates, psk, hostname = 'localhost', verifyPeer = true } = files;
  if (psk !== undefined) {
    if (certificates !== undefined) {
      throw new NbdError('EINVAL', 'a TLS client takes certificates or a file of pre-shared keys, not both');
    }
    return pskClientOptions(psk, files.username);
  }
  const directory =
    certificates ?? certificateDirectories().find((path) => existsSync(join(path, 'ca-cert.pem')));
  const found = directory === undefined ? {} : await readCertificates(directory, 'client', { verifyPeer });
  return {
    ...found,
    rejectUnauthorized: verifyPeer,
    // Node checks the certificate against servername, else host; an address must not be sent as a servername.
    ...(isIP(hostname) === 0 ? { servername: hostname } : { host: hostname }),
  };
}

/** Where libnbd looks for certificates, so that its users find theirs: `~/.pki/libnbd` first. */
export function certificateDirectories(): readonly string[] {
  return [join(homedir(), '.pki/libnbd'), join(homedir(), '.config/pki/libnbd'), '/etc/pki/libnbd'];
}

async function pskClientOptions(path: string, username: string | undefined): Promise<ConnectionOptions> {
  const keys = await readPskFile(path);
  const identity = username ?? defaultUser(path, keys);
  const psk = keys.get(identity);
  if (psk === undefined) throw new NbdError('EINVAL', `${path} holds no key for ${identity}`);
  return {
    pskCallback: () => ({ identity, psk }),
    ciphers: PSK_CIPHERS.join(':'),
    // A server that shows a certificate instead has not proved that it knows the key: no authority is trusted, and
    // the check by name that would follow, which a key makes meaningless, refuses it a second time.
    ca: [],
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) =>
      Object.keys(certificate).length === 0
        ? undefined
        : new Error('the server shows a certificate instead of knowing the pre-shared key'),
  };
}

function defaultUser(path: string, keys: ReadonlyMap<string, Uint8Array>): string {
  const local = userInfo().username;
  if (keys.has(local)) return local;
  const [only, ...others] = keys.keys();
  if (only !== undefined && others.length === 0) return only;
  throw new NbdError('EINVAL', `${path} holds keys for several users, and none for ${local}: say which one`);
}

/**
 * The cipher suites of a pre-shared key, best first; those without forward secrecy last. OpenSSL ties a key that a
 * callback gives to SHA-256, so in TLS 1.3 the suite with SHA-384 must not be offered: it would be chosen first, and
 * fail. All of these were seen to work with GnuTLS 3.7 and 3.8 (nbdkit, libnbd, qemu), which chooses the first.
 */
const PSK_CIPHERS: readonly string[] = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'DHE-PSK-AES256-GCM-SHA384',
  'DHE-PSK-AES128-GCM-SHA256',
  'DHE-PSK-CHACHA20-POLY1305',
  'PSK-AES256-GCM-SHA384',
  'PSK-AES128-GCM-SHA256',
  'PSK-CHACHA20-POLY1305',
];

/**
 * What stands beside them where certificates will do as well: the suites with forward secrecy of Node's list. The
 * list as a whole ends with `!PSK`, which takes the above away again.
 */
function certificateCiphers(): readonly string[] {
  return nodeTls()
    .DEFAULT_CIPHERS.split(':')
    .filter((name) => /^(?:EC)?DHE-/.test(name));
}
