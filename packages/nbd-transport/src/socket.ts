import { connect, Socket, type NetConnectOpts, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ByteSink, ByteTransport, TlsIdentity } from '@nbd/protocol';
import type { Attach } from './attach.js';
import { descriptorOf } from './descriptor.js';
import { Pipe, PIPE_ROOM } from './pipe.js';
import { ChunkReceiver } from './receive.js';
import { enlargeSendBuffer } from './send-buffer.js';

/** Turns an open socket into TLS; see `tlsServer` and `tlsClient`. */
export type TlsUpgrade = (socket: Socket) => Promise<{ socket: TLSSocket; identity: TlsIdentity }>;

/** Receiving straight into the session's buffers takes about half the CPU of `'data'` events. */
type SocketOptions = SocketConstructorOpts & { handle?: object; onread?: OnReadOpts };

/**
 * Joins a session to a connection that a `net.Server` with `pauseOnConnect: true` has accepted. The socket given is
 * not to be used afterwards.
 * @param options.upgrade present where TLS may be asked for
 */
export function acceptSocket(accepted: Socket, attach: Attach, options: { upgrade?: TlsUpgrade } = {}): void {
  if (accepted.remoteAddress === undefined) enlargeSendBuffer(accepted);
  else accepted.setKeepAlive(true, KEEP_ALIVE_MS);
  const transport = new SocketTransport(options.upgrade);
  const sink = attach(transport);
  const handle = takeHandle(accepted);
  if (handle === undefined) {
    transport.start(accepted, sink, true);
    accepted.resume();
    return;
  }
  const socket = new Socket({
    handle,
    allowHalfOpen: true,
    onread: transport.receiveInto(sink),
  } as SocketOptions);
  // The accepted socket counts as one of the server's connections until the one that took its place is gone.
  socket.once('close', () => accepted.destroy());
  transport.start(socket, sink, false);
}

/**
 * Connects, and joins a session to the connection. If that fails, the session is told by `ended`.
 * @param target a host and a port, or the path of a Unix socket
 */
export function connectSocket(
  target: { host: string; port: number } | { path: string },
  attach: Attach,
  options: { upgrade?: TlsUpgrade } = {},
): void {
  const transport = new SocketTransport(options.upgrade);
  const sink = attach(transport);
  const socket = connect({
    ...target,
    allowHalfOpen: true,
    onread: transport.receiveInto(sink),
  } as NetConnectOpts);
  if ('path' in target) {
    socket.once('connect', () => {
      enlargeSendBuffer(socket);
    });
  }
  transport.start(socket, sink, false);
}

/**
 * An accepted socket can't be told to receive into our buffers, a new one around the same handle can. Node has no
 * public way to move the handle; where this one stops to work, `'data'` events serve as well, only slower.
 */
function takeHandle(accepted: Socket): object | undefined {
  const inside = accepted as unknown as { _handle?: { readStart?: unknown; useUserBuffer?: unknown } | null };
  const handle = inside._handle;
  if (typeof handle?.readStart !== 'function' || typeof handle.useUserBuffer !== 'function') return undefined;
  inside._handle = null;
  return handle;
}

/** Silence on TCP before the kernel asks whether the peer is still there: one that lost its power does not say so. */
const KEEP_ALIVE_MS = 60_000;

/** How long an ended connection waits for the peer to end it as well. */
const LINGER_MS = 2000;

/** Bytes of a pipe that the stream sends, to tell when the socket takes more. */
const PART = 4096;

/** Where bytes go that nobody wants. */
const DISCARD = new Uint8Array(64 << 10);

type Released = (error?: Error) => void;

class SocketTransport implements ByteTransport {
  #socket: Socket | undefined;
  /**
   * What is to be sent waits: at first for the socket, which comes after the session, since it asks that for its first
   * buffer; then for a pipe that the socket has taken only a part of.
   */
  #isBlocked = true;
  readonly #waiting: (() => void)[] = [];
  #sink!: ByteSink;
  /** Only where bytes arrive in `'data'` events. */
  #receiver: ChunkReceiver | undefined;
  #queued = 0;
  #ending = false;
  #ended = false;
  #error: Error | undefined;
  #unlisten!: () => void;
  readonly upgradeTls?: () => Promise<TlsIdentity>;

  constructor(upgrade: TlsUpgrade | undefined) {
    if (upgrade) this.upgradeTls = () => this.#upgradeTls(upgrade);
  }

  receiveInto(sink: ByteSink): OnReadOpts {
    return {
      buffer: () => (this.#ending ? DISCARD : sink.nextBuffer()),
      // A session that ends in there, and wants no more, still has the rest read: see `end`.
      callback: (count) => (!this.#ending && sink.received(count)) || this.#ending,
    };
  }

  /** @param copying the socket gives its bytes in `'data'` events */
  start(socket: Socket, sink: ByteSink, copying: boolean): void {
    this.#socket = socket;
    this.#sink = sink;
    socket.setNoDelay(true);
    this.#listen(socket, copying);
    this.#goOn();
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  write(chunks: readonly Uint8Array[], released: Released): void {
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    this.#queued += length;
    const done = (error?: Error | null) => {
      this.#queued -= length;
      released(error ?? undefined);
    };
    this.#inTurn(() => {
      this.#write(chunks, done);
    });
  }

  #write(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    const socket = this.#socket!;
    const last = chunks.length - 1;
    // One writev for all.
    socket.cork();
    for (let i = 0; i <= last; i++) {
      if (i < last) socket.write(chunks[i]!);
      else socket.write(chunks[i]!, done);
    }
    socket.uncork();
  }

  openPipe(length: number): Pipe | undefined {
    const socket = this.#socket;
    if (length > PIPE_ROOM || !socket || this.#receiver || descriptorOf(socket) === undefined)
      return undefined;
    return Pipe.take();
  }

  sendPipe(pipe: Pipe, released: Released): void {
    const { length } = pipe;
    this.#queued += length;
    const done = (error?: Error) => {
      this.#queued -= length;
      pipe.discard();
      released(error);
    };
    this.#inTurn(() => {
      this.#movePipe(pipe, done);
    });
  }

  /** Moves a pipe into the socket, in parts where that does not take all of it. */
  #movePipe(pipe: Pipe, done: Released): void {
    const socket = this.#socket!;
    try {
      // Not past what the stream still has.
      const fd = socket.writableLength === 0 ? descriptorOf(socket) : undefined;
      if (fd !== undefined) pipe.moveTo(fd);
    } catch (error) {
      this.destroy(error as Error);
    }
    const isSent = pipe.length === 0;
    if (!isSent && !socket.destroyed) {
      // Once the stream has sent a few bytes of it, the socket takes more.
      const part = new Uint8Array(PART);
      this.#isBlocked = true;
      socket.write(part.subarray(0, pipe.read(part)), () => {
        this.#movePipe(pipe, done);
      });
      return;
    }
    // In a later turn, so that one peer that takes all at once does not keep others waiting.
    setImmediate(() => {
      done(isSent ? undefined : (this.#error ?? new Error('the connection is closed')));
    });
    this.#goOn();
  }

  #inTurn(send: () => void): void {
    if (this.#isBlocked) this.#waiting.push(send);
    else send();
  }

  #goOn(): void {
    this.#isBlocked = false;
    // Where one of them blocks again, the rest wait as before.
    for (const send of this.#waiting.splice(0)) this.#inTurn(send);
  }

  resume(): void {
    if (!this.#receiver || this.#receiver.resume()) this.#socket?.resume();
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    const socket = this.#socket!;
    // Closing with bytes unread makes the kernel drop what is on its way to the peer: what still comes is read, and
    // thrown away, until the peer ends as well. One that does not is not waited for.
    this.#receiver?.stop();
    socket.resume();
    this.#inTurn(() => {
      socket.end(() => {
        if (socket.readableEnded) socket.destroy();
        const timer = setTimeout(() => socket.destroy(), LINGER_MS);
        socket.once('close', () => {
          clearTimeout(timer);
        });
      });
    });
  }

  destroy(reason?: Error): void {
    this.#error ??= reason;
    this.#receiver?.stop();
    this.#socket?.destroy();
  }

  #listen(socket: Socket, copying: boolean): void {
    const receiver = copying ? new ChunkReceiver(this.#sink) : undefined;
    const finish = () => {
      this.#end(this.#error);
    };
    const onEnd = () => {
      if (receiver) receiver.end(finish);
      else finish();
      if (this.#ending && socket.writableFinished) socket.destroy();
    };
    const onClose = () => {
      if (receiver && !this.#error) receiver.end(finish);
      else finish();
    };
    const onData = (chunk: Buffer) => {
      if (!receiver!.push(chunk)) socket.pause();
    };
    this.#receiver = receiver;
    if (receiver) socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onClose);
    // It stays: an error without a listener is thrown.
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    this.#unlisten = () => socket.off('data', onData).off('end', onEnd).off('close', onClose);
  }

  #end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#receiver?.stop();
    this.#sink.ended(error);
  }

  async #upgradeTls(upgrade: TlsUpgrade): Promise<TlsIdentity> {
    const plain = this.#socket!;
    // The end is now that of the TLS stream, which may still hold bytes when the socket below has closed.
    this.#unlisten();
    // A peer that ends in the middle of the handshake would otherwise leave it waiting for ever.
    plain.allowHalfOpen = false;
    try {
      const { socket, identity } = await upgrade(plain);
      this.#socket = socket;
      this.#listen(socket, true);
      return identity;
    } catch (error) {
      plain.destroy();
      this.#end(error as Error);
      throw error;
    }
  }
}
