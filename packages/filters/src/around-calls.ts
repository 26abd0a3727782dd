import {
  isPromise,
  overrideDevice,
  type Awaitable,
  type BlockDevice,
  type DeviceChanges,
  type ZeroOptions,
} from '@nbd/protocol';

/** The calls of a device that are commands of the protocol. */
export const COMMANDS = ['read', 'write', 'zero', 'trim', 'cache', 'flush', 'extents'] as const;
export type CommandName = (typeof COMMANDS)[number];

/** One call of a device. */
export interface Call {
  readonly command: CommandName;
  /** Bytes; 0 for a flush. */
  readonly offset: bigint;
  /** Bytes; 0 for a flush. */
  readonly length: bigint;
  /** Those of them that the command has. */
  readonly options: ZeroOptions | undefined;
}

/** `device` with something done around every call: `around` runs the call, or does not. */
export function aroundCalls(
  device: BlockDevice,
  around: (call: Call, run: () => Awaitable<void>) => Awaitable<void>,
): BlockDevice {
  const changes: { -readonly [K in keyof DeviceChanges]: DeviceChanges[K] } = {
    read: (offset, into, options) =>
      around({ command: 'read', offset, length: BigInt(into.length), options }, () =>
        device.read(offset, into, options),
      ),
  };
  if (device.write) {
    changes.write = (offset, from, options) =>
      around({ command: 'write', offset, length: BigInt(from.length), options }, () =>
        device.write!(offset, from, options),
      );
  }
  for (const command of ['zero', 'trim', 'cache'] as const) {
    if (!device[command]) continue;
    changes[command] = (offset: bigint, length: bigint, options?: ZeroOptions) =>
      around({ command, offset, length, options }, () => device[command]!(offset, length, options));
  }
  if (device.flush) {
    changes.flush = (options) =>
      around({ command: 'flush', offset: 0n, length: 0n, options }, () => device.flush!(options));
  }
  if (device.extents) {
    changes.extents = (offset, length, sink, options) =>
      around({ command: 'extents', offset, length, options }, () =>
        device.extents!(offset, length, sink, options),
      );
  }
  return overrideDevice(device, changes);
}

/** A call that has settled. */
export interface Settled extends Call {
  readonly milliseconds: number;
  /** What it failed with, if it did. */
  readonly failure: { readonly error: unknown } | undefined;
}

/** `device`, and `seen` is told of every call that has settled. */
export function observeCalls(device: BlockDevice, seen: (settled: Settled) => void): BlockDevice {
  return aroundCalls(device, (call, run) => {
    const started = performance.now();
    const settled = (failure?: { error: unknown }): void => {
      seen({ ...call, milliseconds: performance.now() - started, failure });
    };
    const failed = (error: unknown): never => {
      settled({ error });
      throw error;
    };
    let result: Awaitable<void>;
    try {
      result = run();
    } catch (error) {
      return failed(error);
    }
    if (isPromise(result)) {
      return result.then(() => {
        settled();
      }, failed);
    }
    settled();
  });
}
