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
  /** Bytes accepted by `write` and not yet released. */
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

/** Who the peer proved to be in the TLS handshake. */
export interface TlsIdentity {
  /** Subject's common name of a verified client certificate. */
  readonly commonName?: string;
  /** User name of a pre-shared key. */
  readonly pskIdentity?: string;
}
