import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { run } from './run.js';
import { temporaryDirectory } from './temporary.js';

/**
 * A directory with a private authority's certificates, under the file names that NBD tools share: `ca-cert.pem`,
 * `server-cert.pem` (for `localhost` and the loopback addresses), `client-cert.pem`, and a `…-key.pem` for each.
 */
export interface Certificates extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes certificates that are valid for a day.
 * @param clientName the common name in the client's certificate.
 */
export async function certificates(clientName = 'client'): Promise<Certificates> {
  const directory = await temporaryDirectory();
  const { path } = directory;
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const make = (name: string, subject: string, args: readonly string[]) =>
    run('openssl', [
      'req',
      '-x509',
      ...newKey,
      ...['-days', '1', '-subj', `/CN=${subject}`],
      ...['-keyout', `${path}/${name}-key.pem`, '-out', `${path}/${name}-cert.pem`],
      ...args,
    ]);
  const signed = ['-CA', `${path}/ca-cert.pem`, '-CAkey', `${path}/ca-key.pem`];
  const leaf = (usage: string) => ['-addext', 'basicConstraints=critical,CA:false', '-addext', usage];

  await make('ca', 'interop authority', ['-addext', 'keyUsage=critical,keyCertSign']);
  await make('server', 'localhost', [
    ...signed,
    ...leaf('extendedKeyUsage=serverAuth'),
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'],
  ]);
  await make('client', clientName, [...signed, ...leaf('extendedKeyUsage=clientAuth')]);
  return directory;
}

/** A file of `user:key` lines, as GnuTLS's psktool makes them and NBD tools read them. */
export interface PreSharedKeys extends AsyncDisposable {
  readonly file: string;
}

/** Makes a file with a random 32-byte key for each of the users. */
export async function preSharedKeys(...users: readonly string[]): Promise<PreSharedKeys> {
  const directory = await temporaryDirectory();
  const file = directory.file('keys.psk');
  const lines = users.map((user) => `${user}:${randomBytes(32).toString('hex')}\n`);
  await writeFile(file, lines.join(''), { mode: 0o600 });
  return { file, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}
