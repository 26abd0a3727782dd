import { isNbdError } from '@nbd/protocol';
import type { WriteOptions, ZeroOptions } from '@nbd/protocol';
import type { Model } from './model.js';
import type { Range } from './ranges.js';
import type { Subject } from './subject.js';

/** Something to do to a device and to the model of it. */
export interface Operation {
  /** For messages. */
  readonly name: string;
  run(subject: Subject, model: Model, range: Range): Promise<void>;
}

/** All that a writable device can be asked for, in all the ways that it has to take. */
export function operationsOf({ device }: Subject): Operation[] {
  const { fua, fastZero } = device.info ?? {};
  const operations = [write('write'), writeZeroes];
  if (fua) operations.push(write('write with fua', { fua }));
  if (device.zero) {
    operations.push(zero('zero'), zero('zero with noHole', { noHole: true }));
    if (fua) operations.push(zero('zero with fua', { fua }));
    if (fastZero) operations.push(zero('zero with fastZero', { fastZero }));
  }
  if (device.trim) {
    operations.push(trim('trim'));
    if (fua) operations.push(trim('trim with fua', { fua }));
  }
  if (device.cache) operations.push(cache);
  return operations;
}

const write = (name: string, options?: WriteOptions): Operation => ({
  name,
  async run(subject, model, range) {
    const bytes = subject.random.bytes(range.length);
    model.set(range, bytes);
    await subject.write(range, bytes, options);
  },
});

const writeZeroes: Operation = {
  name: 'write of zeroes',
  async run(subject, model, range) {
    const bytes = new Uint8Array(range.length);
    model.set(range, bytes);
    await subject.write(range, bytes, {});
  },
};

const zero = (name: string, options?: ZeroOptions): Operation => ({
  name,
  async run(subject, model, range) {
    try {
      await subject.zero(range, options);
    } catch (error) {
      const { cause } = error as Error;
      // Then nothing has changed, neither here nor there.
      if (options?.fastZero && isNbdError(cause) && cause.code === 'ENOTSUP') return;
      throw error;
    }
    model.set(range, new Uint8Array(range.length));
  },
});

const trim = (name: string, options?: WriteOptions): Operation => ({
  name,
  async run(subject, model, range) {
    model.forget(range);
    await subject.trim(range, options);
  },
});

const cache: Operation = {
  name: 'cache',
  run: (subject, _model, range) => subject.cache(range),
};
