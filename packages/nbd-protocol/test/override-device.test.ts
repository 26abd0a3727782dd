import { expect, test } from 'vitest';
import { overrideDevice, type BlockDevice } from '../src/index.js';

/** A device as a client is one: getters and methods on the prototype, state in private fields. */
class Ruler implements BlockDevice {
  readonly #start = 7;

  get size(): bigint {
    return 1024n;
  }

  get info() {
    return { multiConn: true };
  }

  read(offset: bigint, into: Uint8Array): void {
    into.fill(this.#start + Number(offset));
  }

  write(): void {
    throw new Error('not here');
  }

  flush(): void {
    throw new Error(`flush of a disk that starts at ${this.#start}`);
  }
}

test('a device of a class keeps its getters and methods', async () => {
  const device = overrideDevice(new Ruler(), { write: () => undefined });
  expect(device).toMatchObject({ size: 1024n, info: { multiConn: true } });
  const into = new Uint8Array(2);
  await device.read(1n, into);
  expect(into).toEqual(Uint8Array.of(8, 8));
  await device.write!(0n, into);
  expect(() => device.flush!()).toThrow('starts at 7');
});

test('what is undefined is taken away, and what the device lacks stays absent', () => {
  const device = overrideDevice(new Ruler(), { write: undefined, size: 5n });
  expect(Object.keys(device).sort()).toEqual(['flush', 'info', 'read', 'size']);
  expect(device.size).toBe(5n);
});

test('what locates the old bytes does not outlive the read that is replaced', () => {
  const device: BlockDevice = { size: 8n, read: () => undefined, locate: () => true };
  expect(overrideDevice(device, { write: () => undefined }).locate?.(0n, 1, sink)).toBe(true);
  expect(overrideDevice(device, { read: () => undefined })).not.toHaveProperty('locate');
  const both = overrideDevice(device, { read: () => undefined, locate: () => false });
  expect(both.locate?.(0n, 1, sink)).toBe(false);
});

const sink = { addFile: () => true, addBytes: () => true };
