import { Command, isNbdError, NbdError } from '@nbd/protocol';
import { listenForAbort, unlistenForAbort } from './abort-listeners.js';
import type { Connection } from './connection.js';
import type { Carrier, Operation } from './operation.js';
import { Queue } from './queue.js';
import type { Call } from './session/call.js';
import type { Window } from './window.js';

/** What to do about a connection that is lost. */
export interface Reconnect {
  /** How often it is tried, at most. */
  readonly attempts: number;
  /** Milliseconds between one attempt and the next; the first is made at once. */
  readonly delay: number;
}

/** Gives the calls of operations to connections, in order, as the window has room for them. */
export class Dispatcher implements Carrier {
  readonly #window: Window;
  readonly #reconnect: Reconnect | undefined;
  readonly #connections: Connection[] = [];
  /** How many of them are being opened again. */
  #reconnecting = 0;
  readonly #queue = new Queue<Operation>();
  /** Calls that were lost with their connection, and are made once more before all others. */
  readonly #again = new Queue<Call>();
  /** All that are not settled. */
  readonly #operations = new Set<Operation>();
  /** Those of them that change the disk. */
  readonly #writes = new Set<Operation>();
  /** Flushes, with the writes that they wait for. */
  readonly #flushes = new Map<Operation, Set<Operation>>();
  /** Writes that the server has answered, and how many of these a flush has covered. */
  #written = 0;
  #flushed = 0;
  readonly #coveredBy = new WeakMap<Operation, number>();
  /** Writes that were answered, and not flushed when the last connection was lost. */
  #doubtful = 0;
  #error: NbdError | undefined;
  readonly #closing = new AbortController();

  constructor(window: Window, reconnect: Reconnect | undefined) {
    this.#window = window;
    this.#reconnect = reconnect;
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted || this.#error !== undefined;
  }

  add(connection: Connection): void {
    this.#connections.push(connection);
  }

  /** Begins with the operation, whose promise says how it ends. */
  start(operation: Operation): void {
    if (operation.isExhausted) return;
    const refusal = this.#refusal(operation);
    if (refusal) {
      operation.fail(refusal);
      return;
    }
    this.#operations.add(operation);
    if (operation.changesDisk) this.#writes.add(operation);
    // A client with several connections "MUST NOT issue an NBD_CMD_FLUSH request until it has received the reply for
    // all write commands which it expects to be covered by the flush".
    if (operation.order.command === Command.FLUSH && this.#writes.size > 0) {
      this.#flushes.set(operation, new Set(this.#writes));
      return;
    }
    this.#queue.push(operation);
    this.#pump();
  }

  /** Waits until every operation is settled, and says goodbye on every connection. */
  async close(): Promise<void> {
    this.#closing.abort();
    while (this.#operations.size > 0) {
      await Promise.allSettled([...this.#operations].map((operation) => operation.promise));
    }
    await Promise.all(this.#connections.map((connection) => connection.leave()));
  }

  /** Closes every connection now; what is under way fails with this error. */
  destroy(reason: NbdError): void {
    this.#closing.abort();
    this.#die(reason);
    for (const connection of this.#connections) connection.destroy(reason);
  }

  /** A connection has ended; its calls are told afterwards. */
  lost(connection: Connection, error: NbdError): void {
    if (this.#written > this.#flushed && !this.#connections.some((other) => other.isUsable)) {
      this.#doubtful += this.#written - this.#flushed;
      this.#flushed = this.#written;
    }
    // A server that breaks the rules is not asked again.
    const again = this.#reconnect !== undefined && error.code !== 'EPROTO' && !this.isClosed;
    if (again) void this.#reopen(connection, this.#reconnect, error);
    else this.#dieIfAlone(error);
  }

  abandon(call: Call, error: Error): void {
    if (call.transmission) {
      call.transmission.abandon(call, error);
      return;
    }
    // It was lost with its connection, and waits to be made again.
    call.abandoned = true;
    call.owner.done(call, error, 'unsent');
  }

  recover(call: Call, error: NbdError): void {
    call.transmission?.destroy(error);
  }

  repeat(call: Call): boolean {
    if (this.#reconnect === undefined || this.#error || !this.#hasHope()) return false;
    this.#again.push(call);
    this.#pump();
    return true;
  }

  exhausted(operation: Operation): void {
    this.#flushes.delete(operation);
  }

  gone(call: Call): void {
    this.#window.leave(call.weight);
    this.#pump();
  }

  settled(operation: Operation, error: unknown): void {
    this.#operations.delete(operation);
    if (operation.order.command === Command.FLUSH && error === undefined) {
      this.#flushed = Math.max(this.#flushed, this.#coveredBy.get(operation) ?? 0);
    }
    if (!this.#writes.delete(operation)) return;
    if (error === undefined) this.#written++;
    for (const [flush, waitsFor] of this.#flushes) {
      waitsFor.delete(operation);
      if (waitsFor.size > 0) continue;
      this.#flushes.delete(flush);
      this.#queue.push(flush);
    }
    this.#pump();
  }

  #pump(): void {
    for (;;) {
      const again = this.#nextAgain();
      const operation = again ? undefined : this.#nextOperation();
      const weight = again?.weight ?? operation?.nextWeight;
      if (weight === undefined || !this.#window.hasRoom(weight)) return;
      const connection = this.#leastBusy();
      if (connection === undefined) return;
      if (again) this.#again.shift();
      if (operation?.order.command === Command.FLUSH) this.#coveredBy.set(operation, this.#written);
      this.#window.enter(weight);
      connection.carry(again ?? operation!.cut());
    }
  }

  #nextAgain(): Call | undefined {
    while (this.#again.peek()?.abandoned === true) this.#again.shift();
    return this.#again.peek();
  }

  #nextOperation(): Operation | undefined {
    while (this.#queue.peek()?.isExhausted === true) this.#queue.shift();
    return this.#queue.peek();
  }

  #leastBusy(): Connection | undefined {
    let best: Connection | undefined;
    for (const connection of this.#connections) {
      if (connection.isUsable && (best === undefined || connection.weight < best.weight)) best = connection;
    }
    return best;
  }

  async #reopen(connection: Connection, { attempts, delay }: Reconnect, cause: NbdError): Promise<void> {
    const { signal } = this.#closing;
    this.#reconnecting++;
    let error: unknown = cause;
    for (let attempt = 1; attempt <= attempts && !signal.aborted; attempt++) {
      if (attempt > 1) await pause(delay, signal);
      try {
        await connection.open(undefined, signal);
        this.#reconnecting--;
        this.#pump();
        return;
      } catch (failure) {
        error = failure;
        // Another disk will not become the right one again.
        if (isNbdError(failure) && (failure.code === 'ENODEV' || failure.code === 'EPROTO')) break;
      }
    }
    this.#reconnecting--;
    const reason = error instanceof Error ? error.message : String(error);
    this.#dieIfAlone(
      new NbdError('ECONNRESET', `${cause.message}, and could not be established again: ${reason}`, {
        cause: error,
      }),
    );
  }

  #hasHope(): boolean {
    return this.#reconnecting > 0 || this.#connections.some((connection) => connection.isUsable);
  }

  #dieIfAlone(error: NbdError): void {
    if (!this.#hasHope()) this.#die(error);
  }

  #die(error: NbdError): void {
    this.#error ??= error;
    for (const operation of [...this.#operations]) operation.fail(error);
  }

  #refusal(operation: Operation): NbdError | undefined {
    if (this.#error) return this.#error;
    if (this.#closing.signal.aborted) return new NbdError('ESHUTDOWN', 'the client is closed');
    if (operation.order.command !== Command.FLUSH || this.#doubtful === 0) return undefined;
    const error = new NbdError(
      'EIO',
      `the connection was lost after ${this.#doubtful} writes that were not flushed: whether they are on the disk is unknown`,
    );
    this.#doubtful = 0;
    return error;
  }
}

/** Waits; the signal cuts it short. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const aborted = () => {
      clearTimeout(timer);
      unlistenForAbort(signal, waiting);
      resolve();
    };
    const waiting = { aborted };
    const timer = setTimeout(aborted, milliseconds);
    listenForAbort(signal, waiting);
  });
}
