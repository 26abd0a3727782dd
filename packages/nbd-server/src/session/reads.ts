import {
  CommandFlag,
  isPromise,
  type Awaitable,
  type BlockDevice,
  type KernelPipe,
  type LocatedSink,
  type Request,
} from '@nbd/protocol';
import type { Calls } from './calls.js';
import type { CommandsHost } from './commands.js';
import { describe } from './printable.js';
import { HoleCollector } from './read-pieces.js';
import { SMALL_READ, type ReplyQueue } from './reply-queue.js';

type Fail = (request: Request, error: unknown, bytes: number) => void;

/** Carries out READs, each in the way that copies least. */
export class Reads {
  readonly #host: CommandsHost;
  readonly #device: BlockDevice;
  readonly #replies: ReplyQueue;
  readonly #calls: Calls;
  readonly #fail: Fail;
  /** Whether the last read into a buffer was answered at once: then a small one is likely to be. */
  #readsAtOnce = false;

  /** @param fail answers a request with what went wrong */
  constructor(host: CommandsHost, calls: Calls, fail: Fail) {
    this.#host = host;
    this.#device = host.agreement.export.device;
    this.#replies = host.replies;
    this.#calls = calls;
    this.#fail = fail;
  }

  /** Answers a read of `length` bytes, or sees to it that it will be. */
  perform(request: Request, length: number): void {
    if (length <= SMALL_READ && this.#readsAtOnce) this.#readInPlace(request, length);
    else if (length <= SMALL_READ || !this.#readIntoPipe(request, length))
      this.#readIntoBuffer(request, length);
  }

  /** @returns whether the read is answered: what lies in files, and in memory, goes out without being copied here */
  #readIntoPipe(request: Request, length: number): boolean {
    if (!this.#device.locate) return false;
    const pipe = this.#replies.openPipe(request, length);
    if (!pipe) return false;
    const sink = new Lent(pipe);
    let isLocated = false;
    try {
      isLocated = this.#device.locate(request.offset, length, sink);
    } catch (error) {
      this.#host.log.debug(`locate at ${request.offset} failed: ${describe(error)}`);
    }
    sink.takeBack();
    if (isLocated) return this.#replies.sendPipe(pipe, length);
    pipe.discard();
    return false;
  }

  /** A small read of a device that answers at once goes into the batch of replies directly. */
  #readInPlace(request: Request, length: number): void {
    const place = this.#replies.reserve(length);
    const { signal } = this.#calls;
    let result: Awaitable<void>;
    try {
      result = this.#device.read(request.offset, place.payload, { signal });
    } catch (error) {
      this.#replies.abandon(place);
      this.#fail(request, error, length);
      return;
    }
    if (!isPromise(result)) {
      this.#replies.answerInPlace(request, place);
      return;
    }
    this.#readsAtOnce = false;
    this.#replies.postpone(place);
    this.#calls.run(
      () => result,
      () => {
        this.#replies.answerPostponed(request, place);
      },
      (error) => {
        this.#replies.dropPostponed(place);
        this.#fail(request, error, length);
      },
    );
  }

  #readIntoBuffer(request: Request, length: number): void {
    const buffer = this.#host.pool.take(length);
    const into = buffer.subarray(0, length);
    const { signal } = this.#calls;
    const mayCut = this.#host.agreement.structuredReplies && (request.flags & CommandFlag.DF) === 0;
    const holes = mayCut && length > SMALL_READ ? new HoleCollector(request.offset, length) : undefined;
    let atOnce = true;
    this.#calls.run(
      () => this.#device.read(request.offset, into, holes ? { signal, holes } : { signal }),
      () => {
        this.#readsAtOnce = atOnce;
        const pieces = holes?.pieces();
        if (pieces) this.#replies.pieces(request, buffer, length, pieces);
        else this.#replies.data(request, buffer, length);
      },
      (error) => {
        this.#host.pool.give(buffer);
        this.#fail(request, error, length);
      },
    );
    atOnce = false;
  }
}

/** A pipe as long as a device has it: what it adds late is no part of the next reply. */
class Lent implements LocatedSink {
  #pipe: KernelPipe | undefined;

  constructor(pipe: KernelPipe) {
    this.#pipe = pipe;
  }

  addFile(fd: number, position: bigint, length: number): boolean {
    return this.#pipe?.addFile(fd, position, length) ?? false;
  }

  addBytes(bytes: Uint8Array): boolean {
    return this.#pipe?.addBytes(bytes) ?? false;
  }

  takeBack(): void {
    this.#pipe = undefined;
  }
}
