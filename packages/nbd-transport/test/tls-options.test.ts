import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { clientTlsOptions, serverTlsOptions } from '../src/index.js';
import { readPskFile } from '../src/psk-file.js';
import { psk, textFile } from './psk.js';
import { CERTIFICATES } from './tls-pairs.js';

const directory = mkdtempSync(join(tmpdir(), 'nbd-transport-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

describe('a file of pre-shared keys', () => {
  test('holds a key for each user', async () => {
    await using keys = textFile('alice:00ff10\r\n\nbob:AB\n');
    expect([...(await readPskFile(keys.file))]).toEqual([
      ['alice', Uint8Array.of(0, 0xff, 0x10)],
      ['bob', Uint8Array.of(0xab)],
    ]);
  });

  test("may write a name as hexadecimal, as GnuTLS's psktool does", async () => {
    await using keys = textFile('#c3a9:01\n');
    expect([...(await readPskFile(keys.file)).keys()]).toEqual(['é']);
  });

  test.each(['alice', 'alice:', 'alice:0', 'alice:0g', ':00', 'alice:00:00'])(
    'is refused with the line %j, which is not shown',
    async (line) => {
      await using keys = textFile(`bob:00\n${line}\n`);
      const error: unknown = await readPskFile(keys.file).catch((error: unknown) => error);
      expect(error).toMatchObject({ code: 'EINVAL' });
      expect(String(error)).toMatch(/line 2 is not user:hexkey/);
      expect(String(error)).not.toContain(`${line} `);
    },
  );

  test('is refused when it is empty or missing', async () => {
    await using empty = textFile('\n');
    await expect(readPskFile(empty.file)).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(readPskFile(join(directory, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('whose key a client takes', () => {
  test("the local user's, if there is one", async () => {
    await using keys = psk({ other: '00', [userInfo().username]: '11' });
    expect(await identity(keys.file)).toBe(userInfo().username);
  });

  test('the only one, else', async () => {
    await using keys = psk({ other: '00' });
    expect(await identity(keys.file)).toBe('other');
  });

  test('that of the user who was named', async () => {
    await using keys = psk({ other: '00', third: '11' });
    expect(await identity(keys.file, 'third')).toBe('third');
    await expect(identity(keys.file, 'fourth')).rejects.toThrow(/no key for fourth/);
  });

  test('none, if it is not clear', async () => {
    await using keys = psk({ other: '00', third: '11' });
    await expect(identity(keys.file)).rejects.toThrow(/several users/);
  });
});

describe('what does not fit together is refused at the start', () => {
  test('a server without certificates and keys', async () => {
    await expect(serverTlsOptions({})).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test('a client with certificates and keys', async () => {
    await using keys = psk({ alice: '00' });
    const files = { certificates: CERTIFICATES, psk: keys.file };
    await expect(clientTlsOptions(files)).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test('a directory that lacks a file', async () => {
    await expect(serverTlsOptions({ certificates: directory })).rejects.toThrow(
      /server-cert\.pem can't be read/,
    );
    await expect(clientTlsOptions({ certificates: directory })).rejects.toThrow(/ca-cert\.pem can't be read/);
  });

  test("a key that is another certificate's", async () => {
    const mixed = join(directory, 'mixed');
    cpSync(CERTIFICATES, mixed, { recursive: true });
    cpSync(join(mixed, 'client-key.pem'), join(mixed, 'server-key.pem'));
    await expect(serverTlsOptions({ certificates: mixed })).rejects.toThrow(
      /server-key\.pem is not a key that/,
    );
  });

  test("a client's certificate without its key", async () => {
    const half = join(directory, 'half');
    cpSync(CERTIFICATES, half, { recursive: true });
    rmSync(join(half, 'client-key.pem'));
    await expect(clientTlsOptions({ certificates: half })).rejects.toThrow(/client-key\.pem can't be read/);
  });

  test('an authority that is no certificate', async () => {
    const empty = join(directory, 'empty');
    cpSync(CERTIFICATES, empty, { recursive: true });
    writeFileSync(join(empty, 'ca-cert.pem'), 'hello\n');
    await expect(clientTlsOptions({ certificates: empty })).rejects.toThrow(/holds no CERTIFICATE/);
  });
});

async function identity(file: string, username?: string): Promise<string | undefined> {
  const options = await clientTlsOptions({ psk: file, ...(username === undefined ? {} : { username }) });
  return options.pskCallback?.(null)?.identity;
}
