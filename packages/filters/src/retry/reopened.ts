import { isNbdError, isPromise, NbdError, type Awaitable, type BlockDevice } from '@nbd/protocol';
import type { Log } from '@nbd/plugin';
import { COMMANDS } from '../around-calls.js';
import { sleep } from '../sleep.js';

export interface RetryPolicy {
  readonly retries: number;
  /** Milliseconds before the n-th retry, from 1 on. */
  delayBefore(n: number): number;
  readonly log: Log;
}

/** What all connections to an export know of what they wrote. */
export interface Durability {
  /** How many writes have settled that a flush has still to make durable. */
  written: number;
  /** How many of them one has. */
  flushed: number;
  /** How often a disk was opened again with some that were not. */
  losses: number;
}

/** What a call is like. */
export interface CallKind {
  readonly signal?: AbortSignal | undefined;
  /** What it wrote is not durable before the next flush. */
  readonly leavesUnflushed?: boolean;
}

/** Errors that the same request would get again. */
const FINAL = new Set<string>([
  ...['EPERM', 'EINVAL', 'ENOSPC', 'ENOTSUP', 'EOVERFLOW'],
  ...['EACCES', 'EROFS', 'EDQUOT', 'EFBIG', 'ECANCELED'],
]);

/** A device that is opened anew when it fails. Calls on it are repeated; a flush is not. */
export class Reopened {
  readonly #shape: string;
  readonly #open: () => Awaitable<BlockDevice>;
  readonly #durability: Durability;
  readonly #policy: RetryPolicy;
  /** Undefined when it was closed and could not be opened again. */
  #device: BlockDevice | undefined;
  /** A flush has failed: the next call opens the disk again. */
  #isSuspect = false;
  #reopening: Promise<BlockDevice> | undefined;
  /** Calls of `#device` that have not settled. */
  #calls = 0;
  #whenIdle: (() => void) | undefined;
  /** Losses that this connection's flushes have told of. */
  #lossesTold: number;

  constructor(
    device: BlockDevice,
    open: () => Awaitable<BlockDevice>,
    durability: Durability,
    policy: RetryPolicy,
  ) {
    this.#device = device;
    this.#shape = shapeOf(device);
    this.#open = open;
    this.#durability = durability;
    this.#policy = policy;
    this.#lossesTold = durability.losses;
  }

  /** Runs a call that may be repeated. */
  run(kind: CallKind | undefined, call: (device: BlockDevice) => Awaitable<void>): Awaitable<void> {
    const device = this.#device;
    if (!device || this.#reopening || this.#isSuspect) return this.#runAgain(kind, call, device, undefined);
    const again = (error: unknown): Promise<void> => this.#runAgain(kind, call, device, { error });
    try {
      const result = this.#counted(device, call);
      if (isPromise(result)) {
        return result.then(() => {
          this.#succeeded(kind);
        }, again);
      }
    } catch (error) {
      return again(error);
    }
    this.#succeeded(kind);
  }

  /**
   * A flush that failed may have lost what was written before: the next one would know nothing of it, and succeed. So it
   * is not repeated, and when the disk was opened again with unflushed writes, the next flush fails.
   * @throws NbdError EIO for writes that may be lost, once on each connection
   */
  flush(call: (device: BlockDevice) => Awaitable<void>): Awaitable<void> {
    const durability = this.#durability;
    const { written } = durability;
    return this.#afterReopening((device) => {
      if (this.#lossesTold < durability.losses) {
        this.#lossesTold = durability.losses;
        throw new NbdError('EIO', 'the disk failed and was opened again: what was not flushed may be lost');
      }
      const flushed = (): void => {
        durability.flushed = Math.max(durability.flushed, written);
      };
      const failed = (error: unknown): never => {
        // This connection is told by the error itself.
        this.#countLosses();
        this.#lossesTold = durability.losses;
        this.#isSuspect = !isFinal(error);
        throw error;
      };
      try {
        const result = this.#counted(device, call);
        if (isPromise(result)) return result.then(flushed, failed);
      } catch (error) {
        return failed(error);
      }
      flushed();
    });
  }

  async close(): Promise<void> {
    await this.#reopening?.catch(() => undefined);
    await this.#device?.close?.();
  }

  #afterReopening(call: (device: BlockDevice) => Awaitable<void>): Awaitable<void> {
    if (this.#device && !this.#reopening && !this.#isSuspect) return call(this.#device);
    return this.#reopen(this.#device).then(call);
  }

  async #runAgain(
    kind: CallKind | undefined,
    call: (device: BlockDevice) => Awaitable<void>,
    failed: BlockDevice | undefined,
    failure: { readonly error: unknown } | undefined,
  ): Promise<void> {
    const { retries, log } = this.#policy;
    for (let retry = failure ? 1 : 0; ; retry++) {
      if (failure) {
        if (retry > retries || isFinal(failure.error) || kind?.signal?.aborted) throw failure.error;
        log.warn(`try ${retry} of ${retries} after: ${messageOf(failure.error)}`);
        await sleep(this.#policy.delayBefore(retry), kind?.signal);
      }
      try {
        failed = await this.#reopen(failed);
        kind?.signal?.throwIfAborted();
        await this.#counted(failed, call);
        this.#succeeded(kind);
        return;
      } catch (error) {
        failure = { error };
      }
    }
  }

  /** The device that comes after one that failed, whoever opens it. */
  #reopen(failed: BlockDevice | undefined): Promise<BlockDevice> {
    if (this.#reopening) return this.#reopening;
    if (this.#device && this.#device !== failed) return Promise.resolve(this.#device);
    this.#reopening = this.#closeAndOpen().finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  async #closeAndOpen(): Promise<BlockDevice> {
    if (this.#calls > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    const old = this.#device;
    this.#device = undefined;
    this.#isSuspect = false;
    this.#countLosses();
    // What it has to say does not matter: it has failed.
    await (async () => old?.close?.())().catch(() => undefined);
    const device = await this.#open();
    if (shapeOf(device) !== this.#shape) {
      await device.close?.();
      throw new NbdError('EINVAL', 'the disk is another one since it was opened again');
    }
    this.#device = device;
    return device;
  }

  /** What was not flushed may be lost with the device. */
  #countLosses(): void {
    const durability = this.#durability;
    if (durability.written === durability.flushed) return;
    durability.losses++;
    durability.flushed = durability.written;
  }

  #counted(device: BlockDevice, call: (device: BlockDevice) => Awaitable<void>): Awaitable<void> {
    const result = call(device);
    if (!isPromise(result)) return;
    this.#calls++;
    return result.finally(() => {
      if (--this.#calls === 0) this.#whenIdle?.();
    });
  }

  #succeeded(kind: CallKind | undefined): void {
    if (kind?.leavesUnflushed) this.#durability.written++;
  }
}

/** What clients were told of a device, and may not change. */
function shapeOf(device: BlockDevice): string {
  const commands = COMMANDS.filter((command) => device[command] !== undefined);
  return JSON.stringify({ size: device.size.toString(), ...device.info, commands });
}

function isFinal(error: unknown): boolean {
  return isNbdError(error) && FINAL.has(error.code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
