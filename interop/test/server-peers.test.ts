import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  certificates,
  describeWith,
  preSharedKeys,
  run,
  serve,
  serveNbdkit,
  temporaryDirectory,
  type Certificates,
  type Peer,
  type PreSharedKeys,
  type Server,
} from '../harness/index.js';

type Security = 'plain' | 'x509' | 'psk';

const SECURITIES: readonly Security[] = ['plain', 'x509', 'psk'];
const SIZE = 8 << 20;

/** A server for each security, which every peer uses: each writes what it reads. */
const servers = {} as Record<Security, Server>;
let certs: Certificates;
let keys: PreSharedKeys;

function portOf(security: Security): string {
  return new URL(servers[security].uri).port;
}

/** As libnbd's programs take it. */
function uriOf(security: Security): string {
  const uri = new URL(servers[security].uri.replace(/^nbds?:/, 'http:'));
  const place = `localhost:${uri.port}/`;
  return {
    plain: `nbd://${place}`,
    x509: `nbds://${place}?tls-certificates=${certs.path}`,
    psk: `nbds://alice@${place}?tls-psk-file=${keys.file}`,
  }[security];
}

/** What qemu's programs are told of certificates and keys, before they are told where the server is. */
function qemuObject(security: Security): readonly string[] {
  return {
    plain: [],
    x509: ['--object', `tls-creds-x509,id=tls,dir=${certs.path},endpoint=client`],
    psk: ['--object', `tls-creds-psk,id=tls,dir=${dirname(keys.file)},username=alice,endpoint=client`],
  }[security];
}

function qemuImage(security: Security): string {
  const credentials = security === 'plain' ? '' : ',tls-creds=tls';
  return `driver=nbd,host=localhost,port=${portOf(security)}${credentials}`;
}

const USE_EVERYTHING = `
h.set_uri_allow_local_file(True)
h.add_meta_context("base:allocation")
h.connect_uri(uri)
data = bytes(range(256)) * 300
h.pwrite(data, 5000, nbd.CMD_FLAG_FUA)
assert h.pread(len(data), 5000) == data
h.zero(65536, 8192, nbd.CMD_FLAG_NO_HOLE)
assert h.pread(65536, 8192) == bytes(65536)
h.zero(1 << 20, 1 << 20, nbd.CMD_FLAG_FAST_ZERO)
h.trim(1 << 20, 1 << 20)
h.flush()
extents = []
h.block_status(2 << 20, 0, lambda context, offset, entries, error: extents.extend(entries))
assert len(extents) >= 4 and sum(extents[0::2]) >= 2 << 20, extents
try:
    h.set_strict_mode(0)
    h.pread(1, h.get_size())
    assert False
except nbd.Error as error:
    assert error.errno == "EINVAL", error
print(h.get_size(), h.get_tls_negotiated(), h.get_structured_replies_negotiated())
`;

function nbdsh(peer: Peer, uri: string, more = '') {
  return run(peer, ['-c', `uri = ${JSON.stringify(uri)}${USE_EVERYTHING}${more}`]);
}

/** What a peer does with the server, and where it can. A program that ends with an error fails the test. */
interface Row {
  readonly peer: Peer;
  readonly securities: readonly Security[];
  readonly use: (peer: Peer, security: Security) => Promise<void>;
}

const rows: readonly Row[] = [
  {
    peer: 'nbdsh',
    securities: SECURITIES,
    async use(peer, security) {
      const { stdout } = await nbdsh(peer, uriOf(security));
      expect(stdout).toBe(`${SIZE} ${security === 'plain' ? 'False' : 'True'} True\n`);
    },
  },
  {
    peer: 'trixie:nbdsh',
    securities: SECURITIES,
    async use(peer, security) {
      const { stdout } = await nbdsh(
        peer,
        uriOf(security),
        'print(h.get_extended_headers_negotiated(), h.can_block_status_payload())',
      );
      expect(stdout).toBe(`${SIZE} ${security === 'plain' ? 'False' : 'True'} True\nTrue True\n`);
    },
  },
  ...['qemu-io', 'trixie:qemu-io'].map((peer) => ({
    peer,
    securities: SECURITIES,
    async use(peer: Peer, security: Security) {
      const commands = [
        ...['write -P 7 4096 200k', 'read -P 7 4096 200k', 'write -z 8k 4k', 'read -P 0 8k 4k'],
        ...['write -f -P 9 511 1', 'read -P 9 511 1', 'discard 64k 64k', 'flush'],
      ];
      const { stdout } = await run(peer, [
        ...qemuObject(security),
        ...commands.flatMap((command) => ['-c', command]),
        ...['--image-opts', qemuImage(security)],
      ]);
      // It does not tell by its exit code in all versions.
      expect(stdout).not.toMatch(/failed/i);
    },
  })),
  ...['qemu-img', 'trixie:qemu-img'].map((peer) => ({
    peer,
    securities: SECURITIES,
    async use(peer: Peer, security: Security) {
      await using directory = await temporaryDirectory();
      const source = directory.file('source.img');
      await writeFile(source, Buffer.concat([randomBytes(3 << 20), Buffer.alloc(SIZE - (3 << 20))]));
      const object = qemuObject(security);
      const target = qemuImage(security);
      const from = `driver=file,filename=${source}`;
      await run(peer, ['convert', ...object, '-n', '--image-opts', '--target-image-opts', from, target]);
      const { stdout } = await run(peer, ['compare', ...object, '--image-opts', from, target]);
      expect(stdout).toContain('Images are identical');
      const map = await run(peer, ['map', ...object, '--output=json', '--image-opts', target]);
      const extents = JSON.parse(map.stdout) as { length: number; zero: boolean }[];
      expect(extents.map(({ length, zero }) => [length, zero])).toEqual([
        [3 << 20, false],
        [SIZE - (3 << 20), true],
      ]);
    },
  })),
  ...['qemu-nbd', 'trixie:qemu-nbd'].map((peer) => ({
    peer,
    securities: SECURITIES,
    async use(peer: Peer, security: Security) {
      const tls = security === 'plain' ? [] : [...qemuObject(security), '--tls-creds', 'tls'];
      const { stdout } = await run(peer, ['--list', ...tls, '-b', 'localhost', '-p', portOf(security)]);
      expect(stdout).toContain(`size:  ${SIZE}`);
      expect(stdout).toContain('base:allocation');
    },
  })),
  {
    peer: 'nbdkit',
    securities: SECURITIES,
    async use(_peer, security) {
      const place = ['hostname=localhost', `port=${portOf(security)}`];
      const tls = {
        plain: [],
        x509: ['tls=require', `tls-certificates=${certs.path}`],
        psk: ['tls=require', `tls-psk=${keys.file}`, 'tls-username=alice'],
      }[security];
      await using proxy = await serveNbdkit(['nbd', ...place, ...tls]);
      expect((await nbdsh('nbdsh', proxy.uri)).stdout).toBe(`${SIZE} False True\n`);
    },
  },
  ...['fio', 'trixie:fio'].map((peer) => ({
    peer,
    // It does not let libnbd read files that a URI names.
    securities: ['plain'] as const,
    async use(peer: Peer, security: Security) {
      await run(peer, [
        ...['--name=verify', '--ioengine=nbd', `--uri=${uriOf(security)}`, '--rw=randrw', '--size=4m'],
        ...['--bsrange=512-64k', '--bs_unaligned', '--iodepth=16', '--fsync=32', '--randseed=1'],
        ...['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--verify_state_save=0'],
      ]);
    },
  })),
  {
    peer: 'nbd-client',
    securities: ['plain', 'x509'],
    async use(peer, security) {
      const files = [
        '-certfile',
        `${certs.path}/client-cert.pem`,
        '-keyfile',
        `${certs.path}/client-key.pem`,
      ];
      const tls = [...files, '-cacertfile', `${certs.path}/ca-cert.pem`, '-tlshostname', 'localhost'];
      const { stdout } = await run(peer, [
        ...['-l', 'localhost', portOf(security)],
        ...(security === 'plain' ? [] : tls),
      ]);
      expect(stdout).toMatch(/^disk$/m);
    },
  },
];

describeWith(['openssl'], 'the server is used by', () => {
  beforeAll(async () => {
    certs = await certificates();
    keys = await preSharedKeys('alice');
    const disk = ['--exportname', 'disk', 'plugin-memory', String(SIZE)];
    servers.plain = await serve(disk, { tcp: true });
    servers.x509 = await serve(['--tls-certificates', certs.path, '--tls-verify-peer', ...disk], {
      tcp: true,
    });
    servers.psk = await serve(['--tls-psk', keys.file, ...disk], { tcp: true });
  });

  afterAll(async () => {
    for (const server of Object.values(servers)) await server.stop();
    await certs[Symbol.asyncDispose]();
    await keys[Symbol.asyncDispose]();
  });

  for (const { peer, securities, use } of rows) {
    const needed = peer === 'nbdkit' ? [peer, 'nbdsh'] : [peer];
    describeWith(needed, peer, () => {
      test.each(securities)('%s', (security) => use(peer, security));
    });
  }
});
