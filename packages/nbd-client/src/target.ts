import { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { formatUri, NbdError, parseUri, DEFAULT_PORT, type NbdUri } from '@nbd/protocol';
import {
  clientTlsOptions,
  connectSocket,
  joinStreams,
  tlsClient,
  type ClientTlsFiles,
  type TlsUpgrade,
} from '@nbd/transport';
import { isCaptiveServer, type CaptiveServer } from './captive.js';
import type { Dial } from './dial.js';
import type { Wishes } from './session/handshake.js';

/**
 * Where a server is: an NBD URI (`nbd://host/export`, `nbds://…`, `nbd+unix:///export?socket=PATH`), a port, a Unix
 * socket, a connection that is there already, or a server that was started for us.
 */
export type Target =
  | string
  | { readonly host: string; readonly port?: number }
  | { readonly path: string }
  | Duplex
  | CaptiveServer;

export interface TargetOptions extends Pick<Wishes, 'exportName' | 'tls'> {
  /** Certificates or keys for TLS; what is given here goes before what a URI says. */
  readonly tlsFiles?: ClientTlsFiles;
  /** Node's own options for TLS, over those that the files give. */
  readonly tlsOptions?: ConnectionOptions;
  /**
   * Whether a URI may name files of ours (`tls-certificates`, `tls-psk-file`): only for URIs of people who may read
   * our files. Not if not given.
   */
  readonly allowUriFiles?: boolean;
}

/** A target that has been looked at: how to reach it, and what of it is for the handshake. */
export interface Resolved {
  readonly dial: Dial;
  readonly wishes: Pick<Wishes, 'exportName' | 'tls'>;
  /** For messages. */
  readonly name: string;
  /** The server, where it is ours and to be stopped. */
  readonly server?: CaptiveServer;
  /** Only one connection can be made. */
  readonly single: boolean;
}

/** @throws NbdError EINVAL for a URI or options that make no sense; EACCES for a URI with files that are not allowed. */
export async function resolveTarget(target: Target, options: TargetOptions): Promise<Resolved> {
  if (typeof target === 'string') return resolveUri(target, options);
  const { exportName, tls = 'off' } = options;
  const wishes = { tls, ...(exportName === undefined ? {} : { exportName }) };
  if (isCaptiveServer(target)) {
    const { dial, name, single } = target;
    return { dial, name, single, server: target, wishes: { ...wishes, tls: 'off' } };
  }
  if (target instanceof Duplex) {
    return { dial: dialOnce(target), wishes, name: 'stream', single: true };
  }
  const uri: NbdUri =
    'path' in target
      ? { transport: 'unix', socket: target.path, tls: tls === 'require', exportName: exportName ?? '' }
      : {
          transport: 'tcp',
          host: target.host,
          port: target.port ?? DEFAULT_PORT,
          tls: tls === 'require',
          exportName: exportName ?? '',
        };
  return { dial: await dialUri(uri, tls, options), wishes, name: formatUri(uri), single: false };
}

async function resolveUri(text: string, options: TargetOptions): Promise<Resolved> {
  const uri = parseUri(text);
  if (uri.tls && options.tls !== undefined && options.tls !== 'require') {
    throw new NbdError(
      'EINVAL',
      `${text}: nbds means that TLS is required; write nbd for tls=${options.tls}`,
    );
  }
  if (options.allowUriFiles !== true && (uri.tlsCertificates ?? uri.tlsPskFile) !== undefined) {
    throw new NbdError(
      'EACCES',
      `${text} names files of this machine; pass allowUriFiles: true if you trust where it comes from`,
    );
  }
  const tls = uri.tls ? 'require' : (options.tls ?? 'off');
  return {
    dial: await dialUri(uri, tls, options),
    wishes: { tls, exportName: options.exportName ?? uri.exportName },
    name: text,
    single: false,
  };
}

async function dialUri(uri: NbdUri, tls: Wishes['tls'], options: TargetOptions): Promise<Dial> {
  const address = uri.transport === 'tcp' ? { host: uri.host, port: uri.port } : { path: uri.socket };
  if (tls === 'off') {
    return (attach) => {
      connectSocket(address, attach);
    };
  }
  const upgrade = await tlsUpgrade(uri, options);
  return (attach) => {
    connectSocket(address, attach, { upgrade });
  };
}

async function tlsUpgrade(uri: NbdUri, options: TargetOptions): Promise<TlsUpgrade> {
  if (uri.tlsType === 'anon') {
    throw new NbdError('ENOTSUP', 'tls-type=anon is not supported: it keeps nobody out who sits in between');
  }
  const files: ClientTlsFiles = {
    hostname: uri.transport === 'tcp' ? uri.host : 'localhost',
    ...(uri.username !== undefined && { username: uri.username }),
    ...(uri.tlsCertificates !== undefined && uri.tlsType !== 'psk' && { certificates: uri.tlsCertificates }),
    ...(uri.tlsPskFile !== undefined && uri.tlsType !== 'x509' && { psk: uri.tlsPskFile }),
    ...(uri.tlsHostname !== undefined && { hostname: uri.tlsHostname }),
    ...(uri.tlsVerifyPeer !== undefined && { verifyPeer: uri.tlsVerifyPeer }),
    ...options.tlsFiles,
  };
  if (uri.tlsType === 'psk' && files.psk === undefined) {
    throw new NbdError('EINVAL', 'tls-type=psk needs a file of keys: tls-psk-file=PATH');
  }
  return tlsClient({ ...(await clientTlsOptions(files)), ...options.tlsOptions });
}

function dialOnce(stream: Duplex): Dial {
  let used = false;
  return (attach) => {
    if (used) throw new NbdError('ECONNRESET', 'a stream is one connection, and can not be opened again');
    used = true;
    joinStreams(stream, stream, attach);
  };
}
