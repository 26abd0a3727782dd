import { readSync } from 'node:fs';
import type { LocatedSink } from '@nbd/protocol';
import { firstDifference, spoken } from './subject.js';
import type { Subject } from './subject.js';
import type { Range } from './ranges.js';

/** Reads at random, and compares the device with itself: again, in two parts, as a part of a longer read, later. */
export async function checkReads(subject: Subject, rounds: number): Promise<void> {
  const { ranges, random } = subject;
  const earlier: { range: Range; bytes: Uint8Array }[] = [];
  for (let round = 0; round < rounds; round++) {
    const range = ranges.pick();
    const bytes = await readTwice(subject, range);
    await compareInParts(subject, range, bytes);
    await compareInWider(subject, range, bytes);
    compareLocated(subject, range, bytes);
    if (earlier.length < 16) earlier.push({ range, bytes });
    else earlier[random.below(16)] = { range, bytes };
  }
  await checkAbort(subject);
  for (const { range, bytes } of earlier) {
    expectSame(
      bytes,
      await subject.read(range),
      range,
      `read${spoken(range)} differs from before, with no write between`,
    );
  }
}

/** Reads under way at once, compared with the same reads one by one. */
export async function checkConcurrentReads(subjects: readonly Subject[], rounds: number): Promise<void> {
  const { ranges, random } = subjects[0]!;
  for (let round = 0; round < rounds; round++) {
    const batch = Array.from({ length: 16 }, () => ranges.pick());
    const reads = await Promise.allSettled(batch.map((range) => random.pick(subjects).read(range)));
    for (const [i, range] of batch.entries()) {
      const read = reads[i]!;
      if (read.status === 'rejected') throw read.reason;
      const alone = await random.pick(subjects).read(range);
      expectSame(alone, read.value, range, `read${spoken(range)} differs when 16 reads are under way`);
    }
  }
}

async function readTwice(subject: Subject, range: Range): Promise<Uint8Array> {
  const filler = subject.random.below(256);
  const first = await subject.read(range, filler);
  const second = await subject.read(range, filler ^ 0xff);
  const difference = firstDifference(first, second);
  if (difference === -1) return first;
  if (first[difference] === filler && second[difference] === (filler ^ 0xff)) {
    throw new Error(`read${spoken(range)} leaves byte ${difference} of its buffer as it was`);
  }
  expectSame(first, second, range, `read${spoken(range)} differs when it is read again`);
  return first;
}

async function compareInParts(subject: Subject, range: Range, bytes: Uint8Array): Promise<void> {
  const { unit } = subject.ranges;
  if (range.length === unit) return;
  const cut = subject.random.upTo(range.length / unit - 1) * unit;
  const parts = [
    { offset: range.offset, length: cut },
    { offset: range.offset + BigInt(cut), length: range.length - cut },
  ];
  const joined = new Uint8Array(range.length);
  for (const part of parts) joined.set(await subject.read(part), Number(part.offset - range.offset));
  expectSame(bytes, joined, range, `read${spoken(range)} differs when it is cut after ${cut} bytes`);
}

async function compareInWider(subject: Subject, range: Range, bytes: Uint8Array): Promise<void> {
  const wider = subject.ranges.around(range);
  const start = Number(range.offset - wider.offset);
  const inner = (await subject.read(wider)).subarray(start, start + range.length);
  expectSame(
    bytes,
    inner,
    range,
    `read${spoken(range)} differs when it is a part of the read${spoken(wider)}`,
  );
}

/** What `locate` gives, if it gives all, is what `read` reads. */
function compareLocated({ device }: Subject, range: Range, bytes: Uint8Array): void {
  if (!device.locate) return;
  const located: Uint8Array[] = [];
  const sink: LocatedSink = {
    addFile(fd, position, length) {
      const part = new Uint8Array(length);
      const count = readSync(fd, part, 0, length, position);
      located.push(part.subarray(0, count));
      return count === length;
    },
    addBytes(part) {
      located.push(part.slice());
      return true;
    },
  };
  const what = `locate${spoken(range)}`;
  const isComplete: unknown = device.locate(range.offset, range.length, sink);
  if (typeof isComplete !== 'boolean')
    throw new Error(`${what} returns ${String(isComplete)}, not a boolean`);
  if (!isComplete) return;
  const all = Buffer.concat(located);
  if (all.length !== range.length) throw new Error(`${what} gives ${all.length} bytes`);
  expectSame(bytes, all, range, `${what} differs from read`);
}

/** An aborted read may end either way, but it ends, and the device goes on. */
async function checkAbort(subject: Subject): Promise<void> {
  const range = subject.ranges.pick();
  const before = await subject.read(range);
  const abort = new AbortController();
  const aborted = async () => {
    const reading = subject.device.read(range.offset, new Uint8Array(range.length), { signal: abort.signal });
    abort.abort();
    await Promise.allSettled([reading]);
  };
  await subject.settle(`aborted read${spoken(range)}`, async () => aborted().catch(() => undefined));
  expectSame(
    before,
    await subject.read(range),
    range,
    `read${spoken(range)} differs after one that was aborted`,
  );
}

function expectSame(expected: Uint8Array, actual: Uint8Array, range: Range, message: string): void {
  const at = firstDifference(expected, actual);
  if (at === -1) return;
  const byte = range.offset + BigInt(at);
  throw new Error(`${message}: byte ${byte} is ${actual[at]!}, it was ${expected[at]!}`);
}
