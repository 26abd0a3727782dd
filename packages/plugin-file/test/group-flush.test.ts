import { expect, test } from 'vitest';
import { GroupFlush } from '../src/group-flush.js';

/** Flushes that end when they are told to. */
function controlled(): { flushes: GroupFlush; started: () => number; end: (error?: Error) => Promise<void> } {
  const running: { resolve: () => void; reject: (error: Error) => void }[] = [];
  let count = 0;
  const flushes = new GroupFlush(() => {
    count++;
    return new Promise<void>((resolve, reject) => running.push({ resolve, reject }));
  });
  return {
    flushes,
    started: () => count,
    async end(error) {
      const { resolve, reject } = running.shift()!;
      if (error === undefined) resolve();
      else reject(error);
      await new Promise((next) => setImmediate(next));
    },
  };
}

test('who comes while a flush is under way waits for the next, together with the others', async () => {
  const { flushes, started, end } = controlled();
  const settled: string[] = [];
  const note = (name: string): Promise<void> => flushes.flush().then(() => void settled.push(name));
  const all = [note('first'), note('second'), note('third')];
  expect(started()).toBe(1);
  await end();
  expect(settled).toEqual(['first']);
  expect(started()).toBe(2);
  all.push(note('fourth'));
  await end();
  expect(settled).toEqual(['first', 'second', 'third']);
  expect(started()).toBe(3);
  await end();
  await Promise.all(all);
  await Promise.all([note('fifth'), end()]);
  expect(settled).toEqual(['first', 'second', 'third', 'fourth', 'fifth']);
});

test('after one failure no flush succeeds: what was to be written may be lost', async () => {
  const { flushes, started, end } = controlled();
  const first = expect(flushes.flush()).rejects.toThrow('medium error');
  const second = expect(flushes.flush()).rejects.toThrow('medium error');
  await end(new Error('medium error'));
  await first;
  await second;
  await expect(flushes.flush()).rejects.toThrow('medium error');
  expect(started()).toBe(1);
});
