import { Command, NbdError, type ExtentSink, type RangeSink } from '@nbd/protocol';
import { listenForAbort, unlistenForAbort, type Abortable } from './abort-listeners.js';
import { describeCall, READS } from './session/call-errors.js';
import { Call, type CallOwner, type Fate } from './session/call.js';

/** What an operation needs of the one that carries it out. */
export interface Carrier {
  /** Nobody wants this call any more: `done` follows as soon as its buffers are free. */
  abandon(call: Call, error: Error): void;
  /** Gets the buffers of this call back at any price, which is the connection. */
  recover(call: Call, error: NbdError): void;
  /** Carries the call out once more. @returns false if there is no hope for that. */
  repeat(call: Call): boolean;
  /** The operation has been cut up or given up: it has nothing more to send. */
  exhausted(operation: Operation): void;
  /** Its promise is settled. */
  settled(operation: Operation, error: unknown): void;
  /** A call is under way no more. */
  gone(call: Call): void;
}

/** What the user of a disk wants done: one command over a range of any length. */
export interface Order {
  readonly command: number;
  readonly flags: number;
  /** Bytes from the start of the export. */
  readonly offset: bigint;
  /** Bytes of effect. */
  readonly length: bigint;
  /** The data of a write, or where that of a read goes: `length` bytes. */
  readonly buffer?: Uint8Array;
  /** The buffer is the user's, and must be left alone once the order is settled. */
  readonly isUsersBuffer?: boolean;
  readonly holes?: RangeSink | undefined;
  readonly extents?: ExtentSink | undefined;
  /** The meta context that `extents` is told of. */
  readonly context?: string;
  readonly oneContext?: boolean;
  /** Longest piece in bytes that one request may be about. */
  readonly piece: bigint;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; 0 for no limit. */
  readonly timeout: number;
}

/** An order on its way: cut into calls, as there is room for them, and settled when all are done. */
export class Operation implements CallOwner, Abortable {
  readonly order: Order;
  readonly promise: Promise<void>;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;
  readonly #carrier: Carrier;
  /** Bytes that have been made calls of. */
  #cut = 0n;
  readonly #calls = new Set<Call>();
  /** A flush has no length: it is cut once. */
  isExhausted = false;
  #error: unknown;
  #failed = false;
  #settled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(order: Order, carrier: Carrier) {
    this.order = order;
    this.#carrier = carrier;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { signal, timeout } = order;
    if (signal?.aborted) {
      this.fail(signal.reason);
      return;
    }
    if (signal) listenForAbort(signal, this);
    if (timeout > 0) this.#timer = setTimeout(this.#onTimeout, timeout);
  }

  get changesDisk(): boolean {
    const { command } = this.order;
    return command !== Command.FLUSH && !READS.has(command);
  }

  /** Bytes of data that the next call will carry. */
  get nextWeight(): number {
    const { buffer, length, piece } = this.order;
    if (buffer === undefined) return 0;
    const rest = length - this.#cut;
    return Number(rest < piece ? rest : piece);
  }

  /** The next call. There must be one. */
  cut(): Call {
    const { command, flags, offset, length, piece, buffer } = this.order;
    const at = this.#cut;
    const rest = length - at;
    const size = rest < piece ? rest : piece;
    const from = Number(at);
    const part = size === length ? buffer : buffer?.subarray(from, from + Number(size));
    const call = new Call(this, command, flags, offset + at, size, part);
    if (this.order.holes) call.holes = new RangeList();
    if (this.order.extents) {
      call.extents = new ExtentList();
      call.context = this.order.context ?? '';
      call.oneContext = this.order.oneContext ?? false;
    }
    this.#calls.add(call);
    this.#cut = at + size;
    if (this.#cut === length) this.#exhaust();
    return call;
  }

  done(call: Call, error: Error | undefined, fate: Fate): void {
    if (error !== undefined && !this.#failed && isSafeToRepeat(call, fate)) {
      const again = copyOf(call);
      if (this.#carrier.repeat(again)) {
        this.#calls.delete(call);
        this.#calls.add(again);
        return;
      }
    }
    this.#calls.delete(call);
    if (error !== undefined) this.fail(error);
    else if (!this.#failed) this.#deliver(call);
    this.#settleIfOver();
  }

  gone(call: Call): void {
    this.#carrier.gone(call);
  }

  /** Stops; the promise rejects with this error, unless it has another already, once no buffer is in use. */
  fail(error: unknown): void {
    if (this.#settled || this.#failed) return;
    this.#failed = true;
    this.#error = error;
    if (!this.isExhausted) this.#exhaust();
    for (const call of [...this.#calls]) this.#carrier.abandon(call, error as Error);
    this.#settleIfOver();
  }

  aborted(reason: unknown): void {
    this.fail(reason);
  }

  /** Tells the user of holes and extents, now that it is certain that the whole reply is good. */
  #deliver(call: Call): void {
    try {
      if (this.order.holes) (call.holes as RangeList).tell(this.order.holes);
      if (this.order.extents) (call.extents as ExtentList).tell(this.order.extents);
    } catch (error) {
      this.fail(error);
    }
  }

  readonly #onTimeout = (): void => {
    const { command, flags, offset, length, timeout } = this.order;
    const what = describeCall(new Call(this, command, flags, offset, length));
    const error = new NbdError('ETIMEDOUT', `${what} took longer than ${timeout} ms`, { offset });
    this.fail(error);
    if (!this.#settled) for (const call of [...this.#calls]) this.#carrier.recover(call, error);
  };

  #exhaust(): void {
    this.isExhausted = true;
    this.#carrier.exhausted(this);
  }

  #settleIfOver(): void {
    if (this.#settled || !this.isExhausted) return;
    const buffersAreFree = this.#calls.size === 0 || (this.#failed && this.order.isUsersBuffer === false);
    if (!buffersAreFree) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    if (this.order.signal) unlistenForAbort(this.order.signal, this);
    this.#carrier.settled(this, this.#error);
    if (this.#failed) this.#reject(this.#error);
    else this.#resolve();
  }
}

/**
 * Whether doing it once more gives what doing it once would have given. A write may not be sent again where the first
 * may have arrived: the server may carry that one out late, over what was written there since.
 */
function isSafeToRepeat(call: Call, fate: Fate): boolean {
  return fate === 'unsent' || (fate === 'unknown' && READS.has(call.command));
}

function copyOf(call: Call): Call {
  const { owner, command, flags, offset, length } = call;
  const copy = new Call(owner, command, flags, offset, length, call.from ?? call.into);
  copy.holes = call.holes && new RangeList();
  copy.extents = call.extents && new ExtentList();
  copy.context = call.context;
  copy.oneContext = call.oneContext;
  return copy;
}

class RangeList implements RangeSink {
  readonly #ranges: { offset: bigint; length: bigint }[] = [];

  add(offset: bigint, length: bigint): void {
    this.#ranges.push({ offset, length });
  }

  tell(sink: RangeSink): void {
    for (const { offset, length } of this.#ranges) sink.add(offset, length);
  }
}

class ExtentList implements ExtentSink {
  readonly #lengths: bigint[] = [];
  readonly #flags: number[] = [];

  add(length: bigint, flags: number): boolean {
    this.#lengths.push(length);
    this.#flags.push(flags);
    return true;
  }

  tell(sink: ExtentSink): void {
    for (let i = 0; i < this.#lengths.length; i++) {
      if (!sink.add(this.#lengths[i]!, this.#flags[i]!)) return;
    }
  }
}
