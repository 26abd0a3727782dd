import {
  Command,
  CommandFlag,
  decodeBlockStatusPayload,
  isNbdError,
  isPromise,
  NbdError,
  type Awaitable,
  type BlockDevice,
  type Request,
} from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import type { BufferPool } from '@nbd/transport/pool';
import type { Agreement } from './agreement.js';
import { queryStatus } from './block-status.js';
import { Calls } from './calls.js';
import type { RequestChecker } from './check-request.js';
import { failureOf } from './failure.js';
import { describe } from './printable.js';
import { Reads } from './reads.js';
import type { ReplyQueue } from './reply-queue.js';

/** What carrying out commands needs of the transmission phase. */
export interface CommandsHost {
  readonly agreement: Agreement;
  readonly checker: RequestChecker;
  readonly replies: ReplyQueue;
  readonly pool: BufferPool;
  readonly log: Log;
  /** An answer could not be made, which is a fault of ours. */
  broken(error: unknown): void;
}

/**
 * Bytes of block status after which other connections have their turn: some 10 ms of work, for which a client needs
 * to send no more than 28 bytes.
 */
const STATUS_AT_ONCE = 256 << 10;

/**
 * Carries requests out on the device, and puts the answers into the queue of replies: at once where the device answers
 * at once, else when it does. `bytes` is what a request counts for until its answer has left.
 */
export class Commands {
  readonly #host: CommandsHost;
  readonly #device: BlockDevice;
  readonly #replies: ReplyQueue;
  readonly #calls: Calls;
  readonly #reads: Reads;
  /** Bytes of block status since other connections had their turn. */
  #statusBytes = 0;
  #pause: Promise<void> | undefined;

  constructor(host: CommandsHost) {
    this.#host = host;
    this.#device = host.agreement.export.device;
    this.#replies = host.replies;
    this.#calls = new Calls({
      ready: () => {
        this.#replies.flush();
      },
      broken: (error) => {
        host.broken(error);
      },
    });
    this.#reads = new Reads(host, this.#calls, (request, error, bytes) => {
      this.fail(request, error, bytes);
    });
  }

  /** Calls of the device that have not settled. */
  get underWay(): number {
    return this.#calls.underWay;
  }

  /**
   * The connection is over: what settles from now on is not answered.
   * @returns a promise that settles when the device has nothing to do any more
   */
  end(): Promise<void> {
    return this.#calls.end();
  }

  /** Calls that are under way may stop, and are to make no other. */
  abandon(): void {
    this.#calls.abandon();
  }

  /** Carries out a request whose payload, if it has one, is the first `length` bytes of a buffer of the pool. */
  performWith(request: Request, buffer: Uint8Array, length: number, bytes: number): void {
    const payload = buffer.subarray(0, length);
    if (request.command === Command.WRITE) {
      const fua = (request.flags & CommandFlag.FUA) !== 0;
      const { signal } = this.#calls;
      this.#call(request, bytes, buffer, () => this.#device.write!(request.offset, payload, { fua, signal }));
      return;
    }
    this.#filteredStatus(request, payload, bytes);
    this.#host.pool.give(buffer);
  }

  /** Carries out a request without a payload. */
  perform(request: Request, bytes: number): void {
    const { offset, length, flags, command } = request;
    const device = this.#device;
    const fua = (flags & CommandFlag.FUA) !== 0;
    const { signal } = this.#calls;
    if (length === 0n && command !== Command.FLUSH) {
      this.#empty(request, bytes);
      return;
    }
    switch (command) {
      case Command.READ:
        this.#reads.perform(request, Number(length));
        return;
      case Command.FLUSH:
        this.#call(request, 0, undefined, () => device.flush!({ signal }));
        return;
      case Command.TRIM:
        this.#call(request, 0, undefined, () => device.trim!(offset, length, { fua, signal }));
        return;
      case Command.CACHE:
        this.#call(request, 0, undefined, () => device.cache!(offset, length, { signal }));
        return;
      case Command.WRITE_ZEROES: {
        const noHole = (flags & CommandFlag.NO_HOLE) !== 0;
        const fastZero = (flags & CommandFlag.FAST_ZERO) !== 0;
        this.#call(request, 0, undefined, () =>
          device.zero!(offset, length, { fua, noHole, fastZero, signal }),
        );
        return;
      }
      case Command.BLOCK_STATUS:
        this.#blockStatus(
          request,
          length,
          this.#host.agreement.contexts.map(({ id }) => id),
          bytes,
        );
        return;
    }
  }

  /** "The client SHOULD NOT request a length of 0; the behavior is unspecified although the server SHOULD NOT disconnect." */
  #empty(request: Request, bytes: number): void {
    if (request.command !== Command.BLOCK_STATUS) this.#replies.success(request, bytes);
    else this.#refuse(request, 'a block status of 0 bytes', bytes);
  }

  /** Runs a command that returns nothing, and answers it. `buffer` goes back to the pool. */
  #call(
    request: Request,
    bytes: number,
    buffer: Uint8Array | undefined,
    command: () => Awaitable<void>,
  ): void {
    this.#calls.run(
      command,
      () => {
        this.#replies.success(request, bytes);
      },
      (error) => {
        this.fail(request, error, bytes);
      },
      () => {
        if (buffer) this.#host.pool.give(buffer);
      },
    );
  }

  /** A block status that names in its payload the contexts that it is about. */
  #filteredStatus(request: Request, payload: Uint8Array, bytes: number): void {
    let query;
    try {
      query = decodeBlockStatusPayload(payload);
    } catch {
      this.#refuse(request, 'a payload that is no length and ids', bytes);
      return;
    }
    const { length, contextIds } = query;
    const { agreement, checker } = this.#host;
    const isKnown = contextIds.every((id) => agreement.contexts.some((context) => context.id === id));
    const refusal = checker.checkRange(request, length);
    if (!isKnown || new Set(contextIds).size !== contextIds.length || contextIds.length === 0) {
      this.#refuse(request, 'context ids that are unknown or named twice', bytes);
    } else if (refusal) {
      this.fail(request, refusal, bytes);
    } else if (length === 0n) {
      this.#empty(request, bytes);
    } else {
      this.#blockStatus(request, length, contextIds, bytes);
    }
  }

  #blockStatus(request: Request, length: bigint, contextIds: readonly number[], bytes: number): void {
    const one = (request.flags & CommandFlag.REQ_ONE) !== 0;
    const { extendedHeaders, blockSizeKnown, contexts, export: served } = this.#host.agreement;
    const granularity = blockSizeKnown ? served.blockSize.minimum : 1;
    const query = { offset: request.offset, length, one, extended: extendedHeaders, granularity };
    const payloads: Uint8Array[] = [];
    const ask = async () => {
      for (const context of contexts) {
        if (!contextIds.includes(context.id)) continue;
        while (this.#statusBytes > STATUS_AT_ONCE) await this.#letOthers();
        this.#calls.signal.throwIfAborted();
        const status = queryStatus(this.#device, query, context, this.#calls.signal);
        const payload = isPromise(status) ? await status : status;
        this.#statusBytes += payload.length;
        payloads.push(payload);
      }
    };
    this.#calls.run(
      ask,
      () => {
        this.#replies.blockStatus(request, payloads, bytes);
      },
      (error) => {
        this.fail(request, error, bytes);
      },
    );
  }

  /** Other connections have their turn, before the next extents are collected. */
  #letOthers(): Promise<void> {
    this.#pause ??= new Promise((resolve) => {
      setTimeout(() => {
        this.#pause = undefined;
        this.#statusBytes = 0;
        resolve();
      });
    });
    return this.#pause;
  }

  /** Answers a request with what went wrong. */
  fail(request: Request, error: unknown, bytes: number): void {
    if (!isNbdError(error)) {
      this.#host.log.warn(`command ${request.command} at ${request.offset} failed: ${describe(error)}`);
    }
    this.#replies.failure(request, failureOf(request, error), bytes);
  }

  #refuse(request: Request, why: string, bytes: number): void {
    this.fail(request, new NbdError('EINVAL', why), bytes);
  }
}
