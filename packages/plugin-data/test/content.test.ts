import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { NbdError } from '@nbd/protocol';
import { Uniform, type Content } from '../src/content/content.js';
import { repeat } from '../src/content/repeat.js';
import { Sequence } from '../src/content/sequence.js';

/** 100 bytes whose reads end when the test says so. */
class Slow extends Uniform {
  readonly pending: ((error?: Error) => void)[] = [];

  constructor() {
    super(100n, 0);
  }

  read(_offset: bigint, into: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.pending.push((error) => {
        into.fill(1);
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }
}

test.each<[string, (slow: Slow) => Content]>([
  ['a sequence', (slow) => new Sequence([slow, slow])],
  ['a repeat', (slow) => repeat(slow, 4n)],
])('a read of %s that fails has let go of the buffer', async (_, contentOf) => {
  const slow = new Slow();
  let settled = false;
  const reading = Promise.resolve(contentOf(slow).read(50n, new Uint8Array(100))).finally(() => {
    settled = true;
  });
  const [first, second] = slow.pending;
  first!(new NbdError('EIO', 'gone'));
  await setImmediate();
  expect(settled).toBe(false);
  second!();
  await expect(reading).rejects.toMatchObject({ code: 'EIO', message: 'gone' });
});
