import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatUri, type NbdUri, parseUri, type TcpUri, type UnixUri } from '../src/index.js';
import { names } from './messages.js';

const tcp = (parts: Partial<TcpUri> = {}): TcpUri => ({
  transport: 'tcp',
  tls: false,
  host: 'localhost',
  port: 10_809,
  exportName: '',
  ...parts,
});

const unix = (parts: Partial<UnixUri> = {}): UnixUri => ({
  transport: 'unix',
  tls: false,
  socket: '/s',
  exportName: '',
  ...parts,
});

describe('parseUri', () => {
  // The examples of the specification, "NBD URI export name".
  test.each([
    ['nbd://example.com/disk', tcp({ host: 'example.com', exportName: 'disk' })],
    ['nbd+unix:///disk?socket=sock', unix({ socket: 'sock', exportName: 'disk' })],
    ['nbd://example.com/', tcp({ host: 'example.com' })],
    ['nbd://example.com', tcp({ host: 'example.com' })],
    ['nbd://example.com//disk', tcp({ host: 'example.com', exportName: '/disk' })],
    ['nbd://example.com/hello%20world', tcp({ host: 'example.com', exportName: 'hello world' })],
    ['nbd+unix:///?socket=%00/abstract', unix({ socket: '\0/abstract' })],
  ])('%s, as specified', (text, uri) => {
    expect(parseUri(text)).toEqual(uri);
  });

  test.each([
    ['nbd://', tcp()],
    ['nbd:///', tcp()],
    ['nbd:///x', tcp({ exportName: 'x' })],
    ['nbd://localhost?', tcp()],
    ['nbd://:1234/', tcp({ port: 1234 })],
    ['nbd://localhost:/', tcp()],
    ['nbd://localhost:00010809/', tcp()],
    ['nbd://127.0.0.1:1/', tcp({ host: '127.0.0.1', port: 1 })],
    ['nbd://[::1]/', tcp({ host: '::1' })],
    ['nbd://[2001:db8::1]:65535/x', tcp({ host: '2001:db8::1', port: 65_535, exportName: 'x' })],
    ['nbd://[::ffff:192.0.2.1]/', tcp({ host: '::ffff:192.0.2.1' })],
    ['nbd://[fe80::1%25eth0]/', tcp({ host: 'fe80::1%eth0' })],
    ['nbd://ex%61mple.com/', tcp({ host: 'example.com' })],
    ['nbd://user@/', tcp({ username: 'user' })],
    ['nbd://@localhost/', tcp()],
    ['nbd://a:b%40c@localhost/', tcp({ username: 'a:b@c' })],
    ['NBDS://Example.com/X', tcp({ tls: true, host: 'Example.com', exportName: 'X' })],
    ['nbd://localhost/%2Fx', tcp({ exportName: '/x' })],
    ['nbd://localhost/a/b/', tcp({ exportName: 'a/b/' })],
    ['nbd://localhost/a%2Fb', tcp({ exportName: 'a/b' })],
    ['nbd://localhost/a/../b', tcp({ exportName: 'a/../b' })],
    ["nbd://localhost/a:@!$&'()*,;=b+c", tcp({ exportName: "a:@!$&'()*,;=b+c" })],
    ['nbd://localhost/%F0%9F%92%BE', tcp({ exportName: '💾' })],
    ['nbd://localhost/💾', tcp({ exportName: '💾' })],
    ['nbd://localhost/%3F%23%25', tcp({ exportName: '?#%' })],
    ['nbd+unix://?socket=/s', unix()],
    ['nbd+unix:////x?socket=/s', unix({ exportName: '/x' })],
    ['nbd+unix:///x?socket=/tmp/a+b', unix({ socket: '/tmp/a+b', exportName: 'x' })],
    ['nbd+unix:///?socket=/tmp/a%26b=c', unix({ socket: '/tmp/a&b=c' })],
    ['nbd+unix:///?&socket=/s&', unix()],
    [
      'nbds+unix://alice@/?socket=/s&tls-certificates=certs',
      unix({ tls: true, username: 'alice', tlsCertificates: 'certs' }),
    ],
    ['nbds+unix:///?socket=/s;tls-type=anon', unix({ tls: true, tlsType: 'anon' })],
    [
      'nbds://bob@h/?tls-type=psk&tls-psk-file=/etc/keys.psk',
      tcp({ tls: true, host: 'h', username: 'bob', tlsType: 'psk', tlsPskFile: '/etc/keys.psk' }),
    ],
    [
      'nbds://h/?tls-type=x509&tls-hostname=example.com&tls-verify-peer=0',
      tcp({ tls: true, host: 'h', tlsType: 'x509', tlsHostname: 'example.com', tlsVerifyPeer: false }),
    ],
    ['nbds://h/?tls-verify-peer=1', tcp({ tls: true, host: 'h', tlsVerifyPeer: true })],
    ['nbds://h/?tls-verify-peer=False', tcp({ tls: true, host: 'h', tlsVerifyPeer: false })],
  ] as [string, NbdUri][])('%s', (text, uri) => {
    expect(parseUri(text)).toEqual(uri);
  });

  test.each([
    ['', 'not an NBD URI'],
    ['/dev/sda', 'not an NBD URI'],
    ['localhost:10809', 'not an NBD URI'],
    ['nbd:localhost:10809', 'not an NBD URI'],
    ['nbd:unix:/tmp/sock', 'not an NBD URI'],
    ['nbd:/x', 'not an NBD URI'],
    ['http://localhost/', 'http is not a scheme of NBD'],
    ['nbdx://localhost/', 'nbdx is not a scheme of NBD'],
    ['nbd+tcp://localhost/', 'nbd+tcp is not a scheme of NBD'],
    ['nbd://localhost/x?socket=/s', 'a socket is for nbd+unix'],
    ['nbd+unix:///x', 'add ?socket=PATH'],
    ['nbd+unix:///x?SOCKET=/s', 'unknown parameter SOCKET'],
    ['nbd+unix://localhost/x?socket=/s', 'a Unix socket has no host'],
    ['nbd+unix://:10809/x?socket=/s', 'a Unix socket has no host'],
    ['nbd+unix:///?socket', 'socket is empty'],
    ['nbd+unix:///?socket=', 'socket is empty'],
    ['nbd+unix:///?socket=%00', 'socket is empty'],
    ['nbd+unix:///?socket=/a%00b', 'socket has a NUL'],
    ['nbd+unix:///?socket=/a&socket=/a', 'socket is given twice'],
    ['nbd://localhost/?foo=1', 'unknown parameter foo'],
    ['nbd://localhost/?x-foo', 'unknown parameter x-foo'],
    ['nbd://localhost/?=1', 'unknown parameter'],
    ['nbd://localhost/?__proto__=1', 'unknown parameter __proto__'],
    ['nbds://localhost/?tls-type=ssh', 'tls-type=ssh is not x509, psk or anon'],
    ['nbds://localhost/?tls-verify-peer=maybe', 'tls-verify-peer=maybe is not 0 or 1'],
    ['nbds://localhost/?tls-psk-file=', 'tls-psk-file is empty'],
    ['nbd://localhost/a#b', 'write "#" as %23'],
    ['nbd://localhost/a b', 'write " " as %20'],
    ['nbd://localhost/a\n', String.raw`write "\n" as %0A`],
    [String.raw`nbd://localhost\x`, String.raw`write "\\" as %5C`],
    ['nbd://localhost/\ud800', 'surrogate'],
    ['nbd://localhost/a%00b', 'NUL'],
    ['nbd://localhost/a%ffb', 'not percent-encoded UTF-8'],
    ['nbd://localhost/100%', 'not percent-encoded UTF-8'],
    [`nbd://localhost/${'x'.repeat(4097)}`, '4097 bytes'],
    ['nbd://localhost:0/', 'port 0'],
    ['nbd://localhost:65536/', 'port 65536'],
    ['nbd://localhost:12x/', 'HOST:PORT'],
    ['nbd://localhost:-1/', 'HOST:PORT'],
    ['nbd://::1/', 'brackets'],
    ['nbd://[::1/', 'brackets'],
    ['nbd://[::1]x/', 'brackets'],
    ['nbd://[]/', 'brackets'],
    ['nbd://[localhost]/', 'brackets'],
    ['nbd://[::1::2]/', 'neither the name of a host nor an address'],
    ['nbd://[::1%25]/', 'neither the name of a host nor an address'],
    ['nbd://a%3Ab/', 'neither the name of a host nor an address'],
    ['nbd://a%2Fb/', 'neither the name of a host nor an address'],
    ['nbd://a%00b@localhost/', 'user name has a NUL'],
  ])('%j is refused: %s', (text, reason) => {
    expect(() => parseUri(text)).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining(reason) as string }),
    );
  });

  test.each(['nbd+vsock://2/', 'nbds+vsock://2:10809/', 'nbd+ssh://host/x'])(
    '%s is known, and not supported',
    (text) => {
      expect(() => parseUri(text)).toThrow(
        expect.objectContaining({
          code: 'ENOTSUP',
          message: expect.stringContaining('not supported') as string,
        }),
      );
    },
  );

  test('a message starts with the URI, cut short if it is long', () => {
    expect(() => parseUri('nbd://h:0/')).toThrow('"nbd://h:0/": port 0 is not between 1 and 65 535');
    expect(() => parseUri(`nbd://h:0/${'x'.repeat(1000)}`)).toThrow(/^"nbd:\/\/h:0\/x{90}…": port 0/);
  });
});

describe('formatUri', () => {
  test.each([
    [tcp(), 'nbd://localhost/'],
    [tcp({ host: '::1', port: 1 }), 'nbd://[::1]:1/'],
    [tcp({ host: 'fe80::1%eth0' }), 'nbd://[fe80::1%25eth0]/'],
    [tcp({ exportName: '/a b/ü' }), 'nbd://localhost/%2Fa%20b%2F%C3%BC'],
    [tcp({ tls: true, username: 'a@b' }), 'nbds://a%40b@localhost/'],
    [unix({ socket: '/tmp/a b&c' }), 'nbd+unix:///?socket=/tmp/a%20b%26c'],
    [
      unix({ tls: true, exportName: 'x', tlsType: 'psk', tlsPskFile: '/k', tlsVerifyPeer: true }),
      'nbds+unix:///x?socket=/s&tls-type=psk&tls-psk-file=/k&tls-verify-peer=1',
    ],
  ] as [NbdUri, string][])('%j is %s', (uri, text) => {
    expect(formatUri(uri)).toBe(text);
  });

  test.each([
    tcp({ host: '' }),
    tcp({ host: 'a/b' }),
    tcp({ host: 'a:b' }),
    tcp({ host: '[::1]' }),
    tcp({ host: 'a@b' }),
    tcp({ host: 'a b' }),
    tcp({ port: 0 }),
    tcp({ port: 65_536 }),
    tcp({ port: 1.5 }),
    tcp({ username: '' }),
    tcp({ username: '\ud800' }),
    tcp({ exportName: '\0' }),
    tcp({ tlsHostname: '' }),
    tcp({ tlsCertificates: 'a\0' }),
    unix({ socket: '' }),
    unix({ socket: 'a\0' }),
    unix({ socket: '\udc00' }),
  ])('what no URI can say is refused: %j', (uri) => {
    expect(() => formatUri(uri)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('what is formatted parses to the same', () => {
    const text = fc.string({ unit: 'binary', minLength: 1 }).map((drawn) => drawn.replaceAll('\0', '0'));
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6(),
      fc.tuple(fc.ipV6(), fc.stringMatching(/^[a-z0-9.-]+$/)).map(([address, zone]) => `${address}%${zone}`),
      fc.stringMatching(/^[\p{L}\p{N}_.~!$&'()*+,;=-]+$/u),
    );
    const parameters = {
      tls: fc.boolean(),
      exportName: names,
      username: text,
      tlsType: fc.constantFrom('x509', 'psk', 'anon'),
      tlsCertificates: text,
      tlsPskFile: text,
      tlsHostname: text,
      tlsVerifyPeer: fc.boolean(),
    };
    const uris = fc.oneof(
      fc.record(
        { transport: fc.constant('tcp'), host, port: fc.integer({ min: 1, max: 65_535 }), ...parameters },
        { requiredKeys: ['transport', 'host', 'port', 'tls', 'exportName'] },
      ),
      fc.record(
        {
          transport: fc.constant('unix'),
          socket: fc.oneof(
            text,
            text.map((name) => `\0${name}`),
          ),
          ...parameters,
        },
        { requiredKeys: ['transport', 'socket', 'tls', 'exportName'] },
      ),
    ) as fc.Arbitrary<NbdUri>;
    fc.assert(
      fc.property(uris, (uri) => {
        const formatted = formatUri(uri);
        expect(formatted).toMatch(/^[\x21-\x7e]+$/);
        expect(parseUri(formatted)).toEqual(uri);
      }),
      { numRuns: 300 },
    );
  });
});
