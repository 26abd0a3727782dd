import type { LocatedSink } from './device.js';

/**
 * How a session meets the bytes of its connection. A session is a {@link ByteSink} and knows nothing of sockets; a
 * transport is anything that moves bytes both ways. The shape is that of Python's `asyncio.BufferedProtocol`: the
 * session lends the buffer, so that a payload arrives in its final place.
 */
export interface ByteSink {
  /** Where the next bytes belong: at least 1 byte, lent to the transport until `received` or `ended`. */
  nextBuffer(): Uint8Array;
  /**
   * `count` bytes, 1 to the length of the lent buffer, were put at the start of it.
   * @returns false to get nothing more until the session calls the transport's `resume()`.
   */
  received(count: number): boolean;
  /** Called once, at the end of the stream or of the connection. The lent buffer is the session's again. */
  ended(error?: Error): void;
}

export interface ByteTransport {
  /**
   * Sends the chunks, in order and together. They must stay as they are until `released` is called: once, when the
   * transport no longer needs them, with an error if they may not have been sent.
   */
  write(chunks: readonly Uint8Array[], released: (error?: Error) => void): void;
  /**
   * An empty pipe with room for `length` bytes, which the kernel is to send from where they lie: `sendPipe` or `discard`
   * ends its use. Undefined where none is to be had. Absent where the transport can't.
   */
  openPipe?(length: number): KernelPipe | undefined;
  /** Sends what a pipe of `openPipe` has, after everything that was written before. `released` as in `write`. */
  sendPipe?(pipe: KernelPipe, released: (error?: Error) => void): void;
  /** Bytes accepted by `write` and `sendPipe` and not yet released. */
  readonly queuedBytes: number;
  /** Goes on receiving after `received` returned false. */
  resume(): void;
  /**
   * Turns the connection into TLS. The session has made sure that it holds no byte received after the message that
   * agreed to TLS. Absent where the transport can't.
   */
  upgradeTls?(): Promise<TlsIdentity>;
  /** Closes the connection once everything written is sent. */
  end(): void;
  /** Closes the connection now. `ended` is still called. */
  destroy(reason?: Error): void;
}

/**
 * Bytes on their way to the peer that are never copied into this process.
 *
 * A part of a file in it is the file's memory itself: what is written there before the peer has received it is what the
 * peer gets. A file that becomes shorter does not harm it.
 */
export interface KernelPipe extends LocatedSink {
  /** Bytes in it. */
  readonly length: number;
  /** Forgets them, and ends the use of the pipe. */
  discard(): void;
}

/** Who the peer proved to be in the TLS handshake. */
export interface TlsIdentity {
  /** Subject's common name of a verified client certificate. */
  readonly commonName?: string;
  /** User name of a pre-shared key. */
  readonly pskIdentity?: string;
}
