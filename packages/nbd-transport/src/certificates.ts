import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { NbdError } from '@nbd/protocol';
import { nodeTls } from './node-tls.js';
import { readTlsFile } from './psk-file.js';

/**
 * What a directory of certificates holds for one side, under the file names that all NBD tools share: `ca-cert.pem`,
 * `ca-crl.pem` if there is one, and the side's own `server-cert.pem` with `server-key.pem`, or `client-cert.pem` with
 * `client-key.pem`.
 *
 * A server must have a certificate of its own and needs the authority's only to verify clients; a client needs the
 * authority's, and its own only where the server asks for it.
 *
 * @throws NbdError ENOENT or EACCES if a file that is needed can't be read; EINVAL if what is in it is no good.
 */
export async function readCertificates(
  directory: string,
  side: 'server' | 'client',
  options: { verifyPeer: boolean },
): Promise<SecureContextOptions> {
  const found: SecureContextOptions = {};
  const authority = join(directory, 'ca-cert.pem');
  if (options.verifyPeer) {
    found.ca = await readPem(authority, 'CERTIFICATE');
    const revoked = join(directory, 'ca-crl.pem');
    if (existsSync(revoked)) found.crl = await readPem(revoked, 'X509 CRL');
  }
  const certificate = join(directory, `${side}-cert.pem`);
  const key = join(directory, `${side}-key.pem`);
  if (side === 'server' || existsSync(certificate) || existsSync(key)) {
    found.cert = await readPem(certificate, 'CERTIFICATE');
    found.key = await readTlsFile(key);
  }
  try {
    nodeTls().createSecureContext(found);
  } catch (cause) {
    // The files are each fine as PEM, so it is the key, or that it belongs to another certificate.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NbdError('EINVAL', `${key} is not a key that goes with ${certificate}: ${reason}`, { cause });
  }
  return found;
}

/** OpenSSL takes a file without any certificate in it for an empty list of them, without a word. */
async function readPem(path: string, kind: string): Promise<string> {
  const text = await readTlsFile(path);
  if (!text.includes(`-----BEGIN ${kind}-----`)) {
    throw new NbdError('EINVAL', `${path} holds no ${kind} in PEM form`);
  }
  return text;
}
