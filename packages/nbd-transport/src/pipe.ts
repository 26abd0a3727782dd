import { closeSync, readSync, writeSync } from 'node:fs';
import type { KernelPipe } from '@nbd/protocol';
import { loadKernel, type Kernel } from './kernel.js';

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_NONBLOCK = 2;
const EAGAIN = 11;
const EINTR = 4;

/** Bytes, in pages of which a part of a file may fill one only partly. No process needs a privilege for that much. */
const CAPACITY = 1 << 20;

/** Bytes that a pipe takes: with small parts, and files that do not begin at a page, more pages are needed. */
export const PIPE_ROOM = (CAPACITY / 4) * 3;

/** Pipes of the process that are open at most (Linux lets a user have 64 of this capacity), and that are kept for later. */
const MOST_OPEN = 32;
const MOST_IDLE = 4;

const idle: Pipe[] = [];
let open = 0;

/** Where what a pipe still has goes. */
const DISCARD = new Uint8Array(64 << 10);

/** A pipe of the kernel, for bytes that go through this process without being copied into it. */
export class Pipe implements KernelPipe {
  readonly #kernel: Kernel;
  readonly #readEnd: number;
  readonly #writeEnd: number;
  readonly #position = new BigInt64Array(1);
  #length = 0;

  /** An empty one; undefined where none is to be had. {@link discard} ends its use. */
  static take(): Pipe | undefined {
    const pipe = idle.pop();
    if (pipe) return pipe;
    const kernel = open < MOST_OPEN ? loadKernel() : undefined;
    if (!kernel) return undefined;
    const fds = new Int32Array(2);
    if (kernel.pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
    open++;
    const made = new Pipe(kernel, fds[0]!, fds[1]!);
    if (kernel.fcntl(fds[1]!, F_SETPIPE_SZ, CAPACITY) >= CAPACITY) return made;
    made.#close();
    return undefined;
  }

  private constructor(kernel: Kernel, readEnd: number, writeEnd: number) {
    this.#kernel = kernel;
    this.#readEnd = readEnd;
    this.#writeEnd = writeEnd;
  }

  get length(): number {
    return this.#length;
  }

  addFile(fd: number, position: bigint, length: number): boolean {
    this.#position[0] = position;
    for (let rest = length; rest > 0;) {
      const count = this.#kernel.splice(fd, this.#position, this.#writeEnd, null, rest, SPLICE_F_NONBLOCK);
      // 0 at the end of the file.
      if (count <= 0) return false;
      this.#length += count;
      rest -= count;
    }
    return true;
  }

  addBytes(bytes: Uint8Array): boolean {
    try {
      const count = writeSync(this.#writeEnd, bytes);
      this.#length += count;
      return count === bytes.length;
    } catch {
      return false;
    }
  }

  /**
   * Moves bytes into a socket that does not block, as many as it takes.
   * @throws Error with `errno` if the socket takes no more for ever
   */
  moveTo(socket: number): void {
    while (this.#length > 0) {
      const count = this.#kernel.splice(this.#readEnd, null, socket, null, this.#length, SPLICE_F_NONBLOCK);
      if (count > 0) {
        this.#length -= count;
        continue;
      }
      const errno = this.#kernel.errno();
      if (count === 0 || errno === EAGAIN) return;
      if (errno !== EINTR)
        throw Object.assign(new Error(`splice to a socket: errno ${errno}`), { errno: -errno });
    }
  }

  /** Takes its next bytes out, up to the length of `into` and at least one. @returns how many */
  read(into: Uint8Array): number {
    const count = readSync(this.#readEnd, into, 0, Math.min(into.length, this.#length), null);
    this.#length -= count;
    return count;
  }

  /** Ends its use. What it still has is lost. */
  discard(): void {
    if (idle.length >= MOST_IDLE) {
      this.#close();
      return;
    }
    while (this.#length > 0) this.read(DISCARD);
    idle.push(this);
  }

  #close(): void {
    open--;
    closeSync(this.#readEnd);
    closeSync(this.#writeEnd);
  }
}
