import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdError, type Awaitable, type BlockDevice } from '@nbd/protocol';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { copyResumable, readState, removeState, type Progress, type State } from '../src/index.js';
import { disk } from './disk.js';
import { Model } from './model.js';

let directory: string;
let file: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nbd-copy-'));
});
beforeEach(async () => {
  file = join(directory, 'state');
  await removeState(file);
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

function gate(): { readonly passed: Promise<void>; pass(): void } {
  let pass!: () => void;
  const passed = new Promise<void>((resolve) => (pass = resolve));
  return { passed, pass };
}

const identities = { source: 'a', destination: 'b' };

/** A disk that fails after some calls, and then has lost some of what was not flushed. */
class Crashing implements BlockDevice {
  readonly size: bigint;
  readonly #disk: Model;
  #callsLeft = Infinity;
  #lose: () => boolean = () => false;
  #unflushed: { readonly start: number; readonly before: Uint8Array }[] = [];

  constructor(disk: Model) {
    this.#disk = disk;
    this.size = disk.size;
  }

  crashAfter(calls: number, lose: () => boolean): void {
    this.#callsLeft = calls;
    this.#lose = lose;
  }

  /** Comes up again: what was not flushed is as it was before, or not. */
  restart(): void {
    for (const { start, before } of this.#unflushed.reverse())
      if (this.#lose()) this.#disk.bytes.set(before, start);
    this.#unflushed = [];
    this.#callsLeft = Infinity;
  }

  async read(offset: bigint, into: Uint8Array): Promise<void> {
    this.#call();
    await this.#disk.read(offset, into);
  }

  write(offset: bigint, from: Uint8Array): Promise<void> {
    return this.#change(offset, from.length, () => this.#disk.write(offset, from));
  }

  zero(offset: bigint, length: bigint): Promise<void> {
    return this.#change(offset, Number(length), () => this.#disk.zero!(offset, length));
  }

  async flush(): Promise<void> {
    this.#call();
    const covered = this.#unflushed;
    this.#unflushed = [];
    await new Promise((resolve) => setImmediate(resolve));
    try {
      this.#call();
    } catch (error) {
      // A crash meanwhile may lose what it was to flush.
      this.#unflushed = [...covered, ...this.#unflushed];
      throw error;
    }
  }

  async #change(offset: bigint, length: number, act: () => Awaitable<void>): Promise<void> {
    this.#call();
    const start = Number(offset);
    const undo = { start, before: this.#disk.bytes.slice(start, start + length) };
    this.#unflushed.push(undo);
    await act();
    // A flush covers what had settled when it was called.
    if (!this.#unflushed.includes(undo)) this.#unflushed.push(undo);
    this.#call();
  }

  #call(): void {
    if (--this.#callsLeft < 0) throw new NbdError('EIO', 'the power is gone');
  }
}

describe('a copy that is resumed', () => {
  test('makes the destination equal, however often it was interrupted and whatever that lost', async () => {
    let resumed = 0;
    await fc.assert(
      fc.asyncProperty(
        disk,
        fc.record({
          requestSize: fc.constantFrom(4096, 32_768, 65_536),
          requests: fc.integer({ min: 1, max: 8 }),
          sparse: fc.constantFrom(0, 4096),
        }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.infiniteStream(fc.boolean())), {
          maxLength: 6,
        }),
        async ({ bytes, holes }, options, crashes) => {
          await removeState(file);
          const source = new Model(bytes, { holes, delayed: true });
          const result = new Uint8Array(bytes.length).fill(0xee);
          const destination = new Crashing(new Model(result, { delayed: true }));
          const run = async () => {
            const earlier = await readState(file);
            if (earlier && earlier.done > 0n) resumed++;
            await copyResumable(source, destination, { ...options, identities, file, earlier, interval: 0 });
          };
          for (const [calls, lost] of crashes) {
            destination.crashAfter(calls, () => lost.next().value as boolean);
            await run().catch(() => undefined);
            destination.restart();
          }
          await run();
          expect(Buffer.compare(result, bytes)).toBe(0);
        },
      ),
      { numRuns: 100 },
    );
    expect(resumed).toBeGreaterThan(10);
  }, 60_000);

  /** A state that says that the first half of a disk of 1 MiB is copied. */
  const half: State = {
    source: { identity: 'a', size: 1n << 20n },
    destination: { identity: 'b', size: 1n << 20n },
    done: 1n << 19n,
  };
  const full = () => new Model(new Uint8Array(1 << 20).fill(1));
  const resume = (source: BlockDevice, destination: BlockDevice, earlier = half) =>
    copyResumable(source, destination, { identities, file, earlier });

  test('goes on where the state says, and reads nothing before but what it compares', async () => {
    const size = 64 << 20;
    const source = new Model(new Uint8Array(size).fill(1));
    const destination = new Model(new Uint8Array(size).fill(1, 0, size / 2));
    const earlier = {
      source: { identity: 'a', size: BigInt(size) },
      destination: { identity: 'b', size: BigInt(size) },
      done: BigInt(size / 2),
    };
    const seen: bigint[] = [];
    const progress = ({ done }: Progress) => seen.push(done);
    await copyResumable(source, destination, { identities, file, earlier, progress });
    expect(Buffer.compare(source.bytes, destination.bytes)).toBe(0);
    expect(seen[0]).toBeGreaterThan(BigInt(size / 2));
    const written = destination.calls.filter(({ what }) => what === 'write');
    expect(Math.min(...written.map(({ start }) => start))).toBe(size / 2);
    const compared = source.calls.filter(({ start }) => start < size / 2);
    expect(compared.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(8 << 20);
  });

  test('refuses another source or destination', async () => {
    await expect(
      resume(full(), full(), { ...half, source: { ...half.source, identity: 'c' } }),
    ).rejects.toThrow(`the source is not the source that ${file} tells of: it is 'a', and was 'c'`);
    await expect(
      resume(full(), full(), { ...half, destination: { ...half.destination, size: 1n } }),
    ).rejects.toThrow(`the destination is not the destination that ${file} tells of: it has 1048576 bytes`);
    await expect(resume(full(), full(), { ...half, done: 1n << 21n })).rejects.toThrow("which can't be");
  });

  test('refuses a source that has changed where it was copied, and writes nothing', async () => {
    const destination = full();
    destination.bytes[500_000] = 2;
    await expect(resume(full(), destination)).rejects.toThrow(
      'the destination differs from the source at offset 500000: it has 0x02 there instead of 0x01, ' +
        'where both were the same: one of them has changed',
    );
    expect(destination.calls.every(({ what }) => what === 'read')).toBe(true);
  });

  test('notes nothing that is not flushed, and fails when it can note nothing', async () => {
    const destination = new Model(new Uint8Array(8 << 20), { delayed: true });
    destination.flush = () => {
      throw new NbdError('EIO', 'medium error');
    };
    const source = new Model(new Uint8Array(8 << 20).fill(1), { delayed: true });
    const result = copyResumable(source, destination, {
      identities,
      file,
      earlier: undefined,
      interval: 0,
      requests: 1,
      requestSize: 4096,
    });
    await expect(result).rejects.toThrow('flushing the destination failed: EIO, medium error');
    expect(await readState(file)).toMatchObject({ done: 0n });
  });

  test('does not note what was written while it flushed', async () => {
    const source = new Model(new Uint8Array(3 << 20).fill(1));
    const destination = new Model(new Uint8Array(3 << 20));
    const reached = new Map([1, 2].map((mebibyte) => [BigInt(mebibyte << 20), gate()]));
    const flushed = [gate(), gate()];
    let done = 0n;
    const read = source.read.bind(source);
    source.read = async (offset, into) => {
      // The first mebibyte is copied before the first flush, the second meanwhile, the third after the second flush.
      await flushed[Number(offset >> 20n) - 1]?.passed;
      await read(offset, into);
    };
    const noted: unknown[] = [];
    let flushes = 0;
    destination.flush = async () => {
      const flush = flushes++;
      if (flush === 0) {
        await reached.get(1n << 20n)!.passed;
        noted.push(done);
        flushed[0]!.pass();
        await reached.get(2n << 20n)!.passed;
      } else if (flush === 1) {
        noted.push((await readState(file))?.done);
        flushed[1]!.pass();
      }
    };
    await copyResumable(source, destination, {
      identities,
      file,
      earlier: undefined,
      interval: 0,
      requests: 1,
      requestSize: 65_536,
      progress: (progress) => {
        done = progress.done;
        reached.get(done)?.pass();
      },
    });
    expect(noted[0]).toBe(1n << 20n);
    expect(noted[1]).toBeLessThanOrEqual(1n << 20n);
    expect(await readState(file)).toMatchObject({ done: 3n << 20n });
  });

  test('begins only where the state can be written', async () => {
    const destination = full();
    await expect(
      copyResumable(full(), destination, { identities, file: directory, earlier: undefined }),
    ).rejects.toThrow(`the state file ${directory} can't be written`);
    await expect(access(`${directory}.new`)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(destination.calls).toEqual([]);
  });
});

describe('the state file', () => {
  test.each([
    '',
    '{',
    '[]',
    'null',
    '{"version":1}',
    '{"version":1,"done":"x","source":{},"destination":{}}',
  ])('that is %j is refused, and left alone', async (content) => {
    await writeFile(file, content);
    await expect(readState(file)).rejects.toThrow(`${file} is no state of this nbd-copy`);
    expect(await readFile(file, 'utf8')).toBe(content);
  });

  test('that is not there is no state', async () => {
    expect(await readState(join(directory, 'nothing'))).toBeUndefined();
  });
});
