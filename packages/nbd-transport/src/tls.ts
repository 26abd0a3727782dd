import { once } from 'node:events';
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { TlsIdentity } from '@nbd/protocol';
import { nodeTls } from './node-tls.js';
import type { TlsUpgrade } from './socket.js';

/** Protocol document, "TLS versions": 1.2 must be spoken, older ones should not be. */
const OLDEST: Pick<TlsOptions, 'minVersion'> = { minVersion: 'TLSv1.2' };

/**
 * The server's side of STARTTLS.
 * @param options Node's: `cert`, `key`, `ca`, `requestCert`, `pskCallback`, `ciphers`, `handshakeTimeout`, …
 */
export function tlsServer(options: TlsOptions): TlsUpgrade {
  const { pskCallback } = options;
  return async (plain) => {
    let pskIdentity: string | undefined;
    const settings: TlsOptions = { ...OLDEST, ...options };
    const certificateOrKey = pskCallback && options.requestCert && options.rejectUnauthorized !== false;
    if (pskCallback) {
      // From version 24 on Node does not let a key stand in for a certificate: it is decided below.
      if (certificateOrKey) settings.rejectUnauthorized = false;
      settings.pskCallback = (socket, identity) => {
        const key = pskCallback(socket, identity);
        if (key) pskIdentity = identity;
        return key;
      };
    }
    // A server that never listens: only servers check a client's certificate by themselves.
    const server = nodeTls().createServer(settings);
    const failure = new AbortController();
    server.once('tlsClientError', (error) => {
      failure.abort(error);
    });
    plain.once('close', () => {
      // Node closes as silently where the client's certificate is no good.
      const certificate = options.requestCert ? ", unless the client's certificate was not accepted" : '';
      failure.abort(new Error(`the connection was closed during the TLS handshake${certificate}`));
    });
    server.emit('connection', plain);
    const [socket] = (await onceUnless(failure.signal, server, 'secureConnection')) as [TLSSocket];
    if (!usesKey(socket)) pskIdentity = undefined;
    if (certificateOrKey && pskIdentity === undefined && !socket.authorized) {
      socket.destroy();
      throw new Error("the client's certificate was not accepted, and it has no key");
    }
    return {
      socket,
      identity: { ...certificateName(socket), ...(pskIdentity === undefined ? {} : { pskIdentity }) },
    };
  };
}

/**
 * The client's side of STARTTLS. The server's certificate is verified unless the options say otherwise.
 * @param options Node's: `ca`, `cert`, `key`, `servername`, `pskCallback`, `ciphers`, …
 */
export function tlsClient(options: ConnectionOptions): TlsUpgrade {
  return async (plain) => {
    const socket = nodeTls().connect({ ...OLDEST, ...options, socket: plain });
    const failure = new AbortController();
    socket.once('error', (error) => {
      failure.abort(error);
    });
    socket.once('close', () => {
      failure.abort(new Error('the connection was closed during the TLS handshake'));
    });
    await onceUnless(failure.signal, socket, 'secureConnect');
    return { socket, identity: certificateName(socket) };
  };
}

/**
 * Whether both sides have proved that they know the key: a client may name one, and go on without it. In TLS 1.3 it looks
 * like a session that goes on, which no other does: each connection has a server of its own.
 */
function usesKey(socket: TLSSocket): boolean {
  return socket.getProtocol() === 'TLSv1.3'
    ? socket.isSessionReused()
    : socket.getCipher().name.includes('PSK');
}

/** `once`, that rejects with the signal's reason itself. */
async function onceUnless(
  signal: AbortSignal,
  emitter: NodeJS.EventEmitter,
  event: string,
): Promise<unknown[]> {
  try {
    return (await once(emitter, event, { signal })) as unknown[];
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}

/** The peer's name, where its certificate was asked for and found good. */
function certificateName(socket: TLSSocket): TlsIdentity {
  if (!socket.authorized) return {};
  // Empty where a pre-shared key stood in for the certificate, whatever the types say.
  const { subject } = socket.getPeerCertificate() as { subject?: { CN?: unknown } };
  const commonName = subject?.CN;
  return typeof commonName === 'string' ? { commonName } : {};
}
