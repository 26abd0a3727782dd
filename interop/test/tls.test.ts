import { cp, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  certificates,
  describeWith,
  preSharedKeys,
  run,
  serve,
  temporaryDirectory,
} from '../harness/index.js';

/** Starts our server on TCP, where certificates have names to vouch for. */
function serveTls(...options: readonly string[]) {
  return serve([...options, 'plugin-memory', '4M'], { tcp: true });
}

/** What `nbdinfo --size` says of the disk, or undefined if it is not let in. */
async function sizeAt(uri: string, nbdinfo = 'nbdinfo'): Promise<string | undefined> {
  const { code, stdout } = await run(nbdinfo, ['--size', uri], { anyCode: true });
  return code === 0 ? stdout.trim() : undefined;
}

describeWith(['nbdinfo', 'trixie:nbdinfo', 'nbdcopy', 'openssl'], 'TLS', () => {
  test.each(['nbdinfo', 'trixie:nbdinfo'])('%s comes in by certificate', async (nbdinfo) => {
    await using certs = await certificates();
    await using server = await serveTls('--tls-certificates', certs.path);
    expect(server.uri).toMatch(/^nbds:/);
    expect(await sizeAt(`${server.uri}?tls-certificates=${certs.path}`, nbdinfo)).toBe('4194304');
  });

  test('a client without TLS is refused where it is required, and let in where it is not', async () => {
    await using certs = await certificates();
    await using strict = await serveTls('--tls=require', '--tls-certificates', certs.path);
    expect(await sizeAt(strict.uri.replace('nbds:', 'nbd:'))).toBeUndefined();

    await using lenient = await serveTls('--tls=on', '--tls-certificates', certs.path);
    expect(await sizeAt(lenient.uri)).toBe('4194304');
    const secured = `${lenient.uri.replace('nbd:', 'nbds:')}?tls-certificates=${certs.path}`;
    expect(await sizeAt(secured)).toBe('4194304');
  });

  test("a client's certificate must be signed by the authority, where clients are verified", async () => {
    await using certs = await certificates();
    await using strangers = await certificates();
    await using server = await serveTls('--tls-certificates', certs.path, '--tls-verify-peer');
    expect(await sizeAt(`${server.uri}?tls-certificates=${certs.path}`)).toBe('4194304');

    // Trusts this server, and shows a certificate that others have signed.
    await cp(`${certs.path}/ca-cert.pem`, `${strangers.path}/ca-cert.pem`);
    expect(await sizeAt(`${server.uri}?tls-certificates=${strangers.path}`)).toBeUndefined();
  });

  test('a pre-shared key lets in who has it', async () => {
    await using keys = await preSharedKeys('alice', 'bob');
    await using others = await preSharedKeys('alice');
    await using server = await serveTls('--tls-psk', keys.file);
    const as = (user: string, file: string) =>
      sizeAt(`${server.uri.replace('//', `//${user}@`)}?tls-psk-file=${file}`);
    expect(await as('alice', keys.file)).toBe('4194304');
    expect(await as('bob', keys.file)).toBe('4194304');
    expect(await as('alice', others.file)).toBeUndefined();
  });

  test('what goes in through TLS comes out the same', async () => {
    await using certs = await certificates();
    await using directory = await temporaryDirectory();
    await using server = await serveTls('--tls-certificates', certs.path);
    const uri = `${server.uri}?tls-certificates=${certs.path}`;
    const bytes = Uint8Array.from({ length: 4 << 20 }, (_, i) => (i * i) >> 8);
    await run('nbdcopy', ['-', uri], { input: bytes });
    await run('nbdcopy', [uri, directory.file('disk.img')]);
    expect((await readFile(directory.file('disk.img'))).equals(bytes)).toBe(true);
  });
});
