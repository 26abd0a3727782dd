import type { ByteTransport } from '@nbd/protocol';
import { clientTlsOptions, connectSocket, tlsClient } from '@nbd/transport';
import { RawClient } from '../../packages/nbd-server/test/raw/raw-client.js';
import type { Server } from './server.js';

export { RawClient };

/** A client that says whatever a test wants to say, connected to a server's Unix socket. */
export interface RawConnection extends Disposable {
  readonly client: RawClient;
  /** Does the TLS handshake that a STARTTLS was answered with. */
  readonly startTls: () => Promise<void>;
}

/** @param tls where the files are that the client uses if it is to do TLS */
export async function connectRaw(
  server: Server,
  tls?: { certificates: string; verifyPeer?: boolean } | { psk: string; username: string },
): Promise<RawConnection> {
  let client!: RawClient;
  let joined!: ByteTransport;
  const upgrade = tls && tlsClient(await clientTlsOptions({ ...tls, hostname: 'localhost' }));
  connectSocket(
    { path: server.socket },
    (transport) => {
      joined = transport;
      return (client = new RawClient(transport));
    },
    upgrade ? { upgrade } : {},
  );
  return {
    client,
    async startTls() {
      await joined.upgradeTls!();
    },
    [Symbol.dispose]() {
      client.hangUp();
    },
  };
}
