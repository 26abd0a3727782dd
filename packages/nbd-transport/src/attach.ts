import type { ByteSink, ByteTransport } from '@nbd/protocol';

/** Makes the session of a connection: gets its transport, gives the sink of its bytes. Called once, synchronously. */
export type Attach = (transport: ByteTransport) => ByteSink;
