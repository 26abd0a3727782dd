import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ChunkReceiver } from '../src/receive.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A receiver whose session takes a byte and then stops. */
function stuck() {
  const receiver = new ChunkReceiver({
    nextBuffer: () => new Uint8Array(1),
    received: () => false,
    ended: () => undefined,
  });
  receiver.push(new Uint8Array(3));
  return receiver;
}

test('the end waits for a session that takes the rest', () => {
  const receiver = stuck();
  const done = vi.fn();
  receiver.end(done);
  receiver.resume();
  expect(done).not.toHaveBeenCalled();
  receiver.resume();
  receiver.resume();
  expect(done).toHaveBeenCalled();
});

test('it does not wait for ever for one that is stuck', () => {
  const receiver = stuck();
  const done = vi.fn();
  receiver.end(done);
  vi.advanceTimersByTime(9_999);
  expect(done).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(done).toHaveBeenCalledOnce();
});

test('nobody is told of the end once the receiver is stopped', () => {
  const receiver = stuck();
  const done = vi.fn();
  receiver.end(done);
  receiver.stop();
  vi.advanceTimersByTime(20_000);
  expect(done).not.toHaveBeenCalled();
});
