import { dirname } from 'node:path';
import {
  commandOf,
  NBD_SERVE,
  serveNbdServer,
  startServer,
  trixiePlugin,
  type Peer,
} from '../harness/index.js';

export type Transport = 'TCP' | 'Unix socket' | 'socket activation' | 'standard streams';
export type Security = 'no TLS' | 'certificates' | 'pre-shared keys';
export type Headers = 'extended' | 'structured' | 'simple';

/** Where a server is to be, and what it may use. */
export interface Place {
  readonly transport: Transport;
  readonly security: Security;
  readonly port: number;
  readonly socket: string;
  /** A file of {@link SIZE} bytes. */
  readonly image: string;
  /** A directory of certificates. */
  readonly certificates: string;
  /** A file of keys. */
  readonly keys: string;
}

/** A server that a client is tried with: a writable disk of {@link SIZE} bytes. */
export interface PeerServer {
  readonly name: string;
  readonly program: Peer;
  /** The best that it speaks. */
  readonly headers: Headers;
  readonly transports: readonly Transport[];
  readonly securities: readonly Security[];
  readonly exportName: string;
  /** Starts it on TCP or a Unix socket. */
  start(place: Place): Promise<AsyncDisposable>;
  /** The command that starts it as a captive. */
  captive(place: Place): readonly string[];
}

export const SIZE = 4 << 20;

export const PEER_SERVERS: readonly PeerServer[] = [
  nbdkitLike('nbd-serve', process.execPath, [NBD_SERVE], 'plugin-memory', 'extended'),
  nbdkitLike('nbdkit 1.32', 'nbdkit', ['--foreground'], 'memory', 'structured'),
  nbdkitLike("Debian 13's nbdkit", 'trixie:nbdkit', ['--foreground'], trixiePlugin('memory'), 'structured'),
  qemuNbd('qemu-nbd 7.2', 'qemu-nbd', 'structured'),
  qemuNbd("Debian 13's qemu-nbd", 'trixie:qemu-nbd', 'extended'),
  {
    name: 'nbd-server 3.24',
    program: 'nbd-server',
    headers: 'simple',
    transports: ['TCP', 'Unix socket'],
    securities: ['no TLS', 'certificates'],
    exportName: 'disk',
    start: startNbdServer,
    captive: () => [],
  },
];

/** nbdkit and our server take the same words. */
function nbdkitLike(
  name: string,
  program: Peer,
  first: readonly string[],
  plugin: string,
  headers: Headers,
): PeerServer {
  const tls = (place: Place) =>
    ({
      'no TLS': [],
      certificates: ['--tls=require', `--tls-certificates=${place.certificates}`],
      'pre-shared keys': ['--tls=require', `--tls-psk=${place.keys}`],
    })[place.security];
  return {
    name,
    program,
    headers,
    transports: ['TCP', 'Unix socket', 'socket activation', 'standard streams'],
    securities: ['no TLS', 'certificates', 'pre-shared keys'],
    exportName: '',
    async start(place) {
      const where =
        place.transport === 'TCP' ? ['--ipaddr=127.0.0.1', `--port=${place.port}`] : ['--unix', place.socket];
      return startServer(program, ({ pidFile }) => [
        ...first,
        ...where,
        ...['--pidfile', pidFile],
        ...tls(place),
        ...[plugin, String(SIZE)],
      ]);
    },
    captive: ({ transport }) => [
      ...commandOf(program)!,
      ...first,
      ...(transport === 'standard streams' ? ['--single'] : []),
      ...[plugin, String(SIZE)],
    ],
  };
}

function qemuNbd(name: string, program: Peer, headers: Headers): PeerServer {
  const tls = (place: Place) => {
    const credentials = {
      'no TLS': undefined,
      certificates: `tls-creds-x509,verify-peer=off,dir=${place.certificates}`,
      'pre-shared keys': `tls-creds-psk,dir=${dirname(place.keys)}`,
    }[place.security];
    return credentials === undefined
      ? []
      : ['--object', `${credentials},id=tls,endpoint=server`, '--tls-creds=tls'];
  };
  const disk = ['--persistent', '--shared=8', '--format=raw', '--discard=unmap'];
  return {
    name,
    program,
    headers,
    transports: ['TCP', 'Unix socket', 'socket activation'],
    securities: ['no TLS', 'certificates', 'pre-shared keys'],
    exportName: '',
    async start(place) {
      const where =
        place.transport === 'TCP'
          ? ['--bind=127.0.0.1', `--port=${place.port}`]
          : [`--socket=${place.socket}`];
      return startServer(program, ({ pidFile }) => [
        ...where,
        `--pid-file=${pidFile}`,
        ...tls(place),
        ...disk,
        place.image,
      ]);
    },
    captive: ({ image }) => [...commandOf(program)!, ...disk, image],
  };
}

function startNbdServer(place: Place): Promise<AsyncDisposable> {
  const tls =
    place.security === 'no TLS'
      ? []
      : [
          'force_tls = true',
          `certfile = ${place.certificates}/server-cert.pem`,
          `keyfile = ${place.certificates}/server-key.pem`,
          `cacertfile = ${place.certificates}/ca-cert.pem`,
        ];
  const disk = [`exportname = ${place.image}`, 'flush = true', 'fua = true', 'trim = true'];
  return place.transport === 'TCP'
    ? serveNbdServer(
        { host: '127.0.0.1', port: place.port },
        ['listenaddr = 127.0.0.1', `port = ${place.port}`, ...tls],
        disk,
      )
    : serveNbdServer({ path: place.socket }, [`unixsock = ${place.socket}`, ...tls], disk);
}
