import type * as Fs from 'node:fs';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WriteQueue } from '../src/write-queue.js';
import { PLACES, temporaryDirectory } from './temporary.js';

type Written = (error: Error | null, count: number) => void;
type Writev = (fd: number, buffers: Uint8Array[], position: number, written: Written) => void;

const { writev } = vi.hoisted(() => ({ writev: vi.fn<Writev>() }));
const fs = await vi.importActual<typeof Fs>('node:fs');
vi.mock('node:fs', async (original) => ({ ...(await original<typeof Fs>()), writev }));

const KiB = 1024;

beforeEach(() => {
  writev.mockReset();
});

describe.each(PLACES)('in %s', (place) => {
  const directory = temporaryDirectory(place);

  test('all that is written at once is where it belongs', async () => {
    writev.mockImplementation(fs.writev);
    const path = join(directory, 'file');
    const lengths = fc.array(
      fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 600 * KiB })),
      {
        minLength: 1,
        maxLength: 30,
      },
    );
    await fc.assert(
      fc.asyncProperty(lengths, fc.infiniteStream(fc.nat()), async (pieces, random) => {
        const fd = openSync(path, 'w');
        onTestFinished(() => {
          closeSync(fd);
        });
        let position = 0;
        const writes = pieces.map((length, i) => {
          const write = { position, bytes: new Uint8Array(length).fill(i + 1) };
          position += length;
          return write;
        });
        const expected = Buffer.concat(writes.map(({ bytes }) => bytes));
        // Some out of order, as from several connections.
        for (let i = writes.length - 1; i > 0; i--) {
          const other = random.next().value % (i + 1);
          if (other > i - 4) [writes[i], writes[other]] = [writes[other]!, writes[i]!];
        }
        const queue = new WriteQueue(fd);
        await Promise.all(writes.map(({ position, bytes }) => queue.write(position, bytes)));
        expect(expected.equals(readFileSync(path))).toBe(true);
      }),
      { numRuns: 20 },
    );
  });
});

/** The calls of a queue, of which each ends when told to. */
function queueOfCalls(lengths: readonly number[]) {
  const calls: { position: number; lengths: number[]; written: Written }[] = [];
  writev.mockImplementation((_fd, buffers, position, written) => {
    calls.push({ position, lengths: buffers.map(({ length }) => length), written });
  });
  const queue = new WriteQueue(3);
  let position = 0;
  const writes = lengths.map((length) => {
    const write = queue.write(position, new Uint8Array(length)).then(
      () => 'written',
      (error: unknown) => (error as Error).message,
    );
    position += length;
    return write;
  });
  return { calls, writes, told: () => calls.map(({ position, lengths }) => ({ position, lengths })) };
}

test('short writes are under way together', () => {
  const { calls } = queueOfCalls(new Array<number>(80).fill(4 * KiB));
  expect(calls.length).toBe(64);
});

test('a long one is alone, and those that come meanwhile go together, up to 8 MiB', async () => {
  const length = 1024 * KiB;
  const { calls, writes, told } = queueOfCalls(new Array<number>(12).fill(length));
  expect(told()).toEqual([{ position: 0, lengths: [length] }]);
  calls[0]!.written(null, length);
  expect(await writes[0]).toBe('written');
  expect(told()[1]).toEqual({ position: length, lengths: new Array<number>(8).fill(length) });
  calls[1]!.written(null, 8 * length);
  expect(told()[2]).toEqual({ position: 9 * length, lengths: new Array<number>(3).fill(length) });
  expect(calls.length).toBe(3);
});

test('what a call leaves is written by the next one', async () => {
  const { calls, writes, told } = queueOfCalls([300 * KiB, 300 * KiB, 300 * KiB]);
  calls[0]!.written(null, 300 * KiB);
  calls[1]!.written(null, 400 * KiB);
  expect(await writes[1]).toBe('written');
  expect(told()[2]).toEqual({ position: 700 * KiB, lengths: [200 * KiB] });
  calls[2]!.written(null, 200 * KiB);
  expect(await writes[2]).toBe('written');
});

test('an error is that of the piece where it was, and the others are tried again', async () => {
  const { calls, writes, told } = queueOfCalls([300 * KiB, 300 * KiB, 300 * KiB, 300 * KiB]);
  calls[0]!.written(null, 300 * KiB);
  calls[1]!.written(new Error('EIO'), 0);
  expect(await writes[1]).toBe('EIO');
  expect(told()[2]).toEqual({ position: 600 * KiB, lengths: [300 * KiB, 300 * KiB] });
  calls[2]!.written(null, 300 * KiB + 1);
  expect(await writes[2]).toBe('written');
  calls[3]!.written(new Error('ENOSPC'), 0);
  expect(await writes[3]).toBe('ENOSPC');
  expect(calls.length).toBe(4);
});

test('a file that takes nothing, and says nothing of it, is not tried for ever', async () => {
  const { calls, writes } = queueOfCalls([300 * KiB]);
  calls[0]!.written(null, 0);
  expect(await writes[0]).toBe('nothing was written');
});
