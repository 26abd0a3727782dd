import { close, fdatasync, fstatSync, read, write } from 'node:fs';
import { Socket, type OnReadOpts } from 'node:net';
import { promisify } from 'node:util';
import type { ByteSource } from '../engine/copy-stream.js';
import type { ByteDestination } from './in-order.js';

export interface Reader extends ByteSource {
  destroy(): void;
}

export interface Writer extends ByteDestination {
  /** Settles once everything is on its way, and nothing more can be written. */
  end(): Promise<void>;
  destroy(): void;
}

/** Reads what an open descriptor gives, from where it stands; it is the reader's to close. */
export function readDescriptor(fd: number): Reader {
  return isPolled(fd)
    ? new SocketReader((onread) => newSocket({ fd, readable: true, writable: false, onread }))
    : new FileReader(fd);
}

/** Writes to an open descriptor, from where it stands; it is the writer's to close. */
export function writeDescriptor(fd: number): Writer {
  return isPolled(fd)
    ? new SocketWriter(newSocket({ fd, readable: false, writable: true }))
    : new FileWriter(fd);
}

/** Pipes and sockets: waiting for them on a thread could not be interrupted. */
function isPolled(fd: number): boolean {
  // Without `bigint`, Node 20 and 22 take the status of a pipe for that of the next folder in which they look for a
  // module, and follow no links there: a plugin loaded after this does not find what it depends on.
  const status = fstatSync(fd, { bigint: true });
  return status.isFIFO() || status.isSocket();
}

/** What the types of Node lack. */
type SocketOptions = ConstructorParameters<typeof Socket>[0] & { readonly onread?: OnReadOpts };

function newSocket(options: SocketOptions): Socket {
  return new Socket(options);
}

/** As long as what a pipe holds. */
const CHUNK = 64 << 10;

/** Receives from a pipe or socket into one buffer, and puts it where the reader wants it. */
export class SocketReader implements Reader {
  readonly #socket: Socket;
  #into: Uint8Array | undefined;
  #filled = 0;
  /** What came and was not wanted yet. */
  #rest: Uint8Array | undefined;
  #isAtEnd = false;
  #error: Error | undefined;
  #settle: (() => void) | undefined;

  constructor(open: (onread: OnReadOpts) => Socket) {
    this.#socket = open({
      buffer: new Uint8Array(CHUNK),
      callback: (count, buffer) => this.#received(buffer.subarray(0, count)),
    });
    this.#socket.on('error', (error) => {
      this.#error ??= error;
      this.#settle?.();
    });
    const end = () => {
      this.#isAtEnd = true;
      this.#settle?.();
    };
    this.#socket.on('end', end).on('close', end);
  }

  async read(into: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    const abort = () => {
      this.#socket.destroy(signal.reason as Error);
    };
    this.#into = into;
    this.#filled = 0;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest === undefined || this.#received(rest)) {
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      while (this.#filled < into.length && !this.#isAtEnd && !this.#error) {
        this.#socket.resume();
        await new Promise<void>((resolve) => (this.#settle = resolve));
      }
      signal.removeEventListener('abort', abort);
    }
    this.#into = undefined;
    if (this.#error) throw this.#error;
    return this.#filled;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** @returns whether there is room for more */
  #received(bytes: Uint8Array): boolean {
    const room = this.#into === undefined ? 0 : this.#into.length - this.#filled;
    const taken = bytes.length <= room ? bytes : bytes.subarray(0, room);
    this.#into?.set(taken, this.#filled);
    this.#filled += taken.length;
    if (taken.length < bytes.length) this.#rest = bytes.subarray(taken.length);
    if (bytes.length < room) return true;
    this.#settle?.();
    return false;
  }
}

export class SocketWriter implements Writer {
  readonly #socket: Socket;
  #error: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // It stays: an error without a listener is thrown.
    socket.on('error', (error) => {
      this.#error ??= error;
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => {
        const reason = this.#error ?? error;
        if (reason) reject(reason);
        else resolve();
      });
    });
  }

  end(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once('close', () => {
        if (this.#error) reject(this.#error);
        else resolve();
      });
      this.#socket.end(() => this.#socket.destroy());
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

class FileReader implements Reader {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async read(into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const { bytesRead } = await readSome(this.#fd, into, filled, into.length - filled, null);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  destroy(): void {
    closeUnlessStdio(this.#fd);
  }
}

/** These stay, lest a file that is opened later gets their number. */
const LAST_STDIO = 2;

function closeUnlessStdio(fd: number): void {
  if (fd > LAST_STDIO) close(fd);
}

const readSome = promisify(read);
const writeSome = promisify(write);

class FileWriter implements Writer {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await writeSome(this.#fd, bytes, at, bytes.length - at, null);
      at += bytesWritten;
    }
  }

  async flush(): Promise<void> {
    if (fstatSync(this.#fd).isFile()) await promisify(fdatasync)(this.#fd);
  }

  async end(): Promise<void> {
    if (this.#fd > LAST_STDIO) await promisify(close)(this.#fd);
  }

  destroy(): void {
    closeUnlessStdio(this.#fd);
  }
}
