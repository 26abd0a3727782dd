import { isNbdError } from '@nbd/protocol';
import type { Random } from '../../../nbd-server/test/fuzz/random.js';
import type { NbdClient } from '../../src/session/index.js';
import { content, HOLE, SENTINEL } from './disk.js';

/** Extents of a server that is out of its mind are not heard to their end. */
const MOST_EXTENTS = 2000;

/** Calls of a disk's user, some of which are given up, and what must be true of them. */
export class Calls {
  readonly faults: string[] = [];
  /** What is not done by now may not be done any more. */
  isClosing = false;
  readonly #random: Random;
  readonly #isHonest: boolean;
  readonly #calls: Promise<void>[] = [];
  readonly #aborts: AbortController[] = [];
  /** Buffers of reads that have failed, as they were then. */
  readonly #abandoned: { buffer: Uint8Array; then: Uint8Array }[] = [];
  /** Most sentinels that were left in what was read. */
  #sentinels = 0;

  constructor(random: Random, isHonest: boolean) {
    this.#random = random;
    this.#isHonest = isHonest;
  }

  make(disk: NbdClient): void {
    for (let count = this.#random.below(this.#random.pick([3, 10, 20])); count > 0; count--) this.#make(disk);
  }

  abortOne(): void {
    this.#aborts.pop()?.abort();
  }

  async settled(): Promise<void> {
    await Promise.all(this.#calls);
  }

  /** @param sent how many sentinels the server has sent */
  check(sent: number): void {
    if (this.#sentinels > sent) this.faults.push('a read has succeeded with bytes that nobody has sent');
    for (const { buffer, then } of this.#abandoned) {
      if (Buffer.compare(buffer, then) !== 0)
        this.faults.push('a buffer has changed after its read had failed');
    }
  }

  #make(disk: NbdClient): void {
    const random = this.#random;
    const abort = new AbortController();
    if (random.oneIn(6)) this.#aborts.unshift(abort);
    const { signal } = abort;
    const block = disk.terms.blockSize.minimum;
    const size = Number(disk.size);
    switch (random.below(9)) {
      case 0:
      case 1:
      case 2: {
        const length = Math.min(random.upTo(20_000), size);
        this.#read(disk, random.below(size - length + 1), length, signal);
        return;
      }
      case 3:
      case 4: {
        const length = block * Math.ceil(random.upTo(9000) / block);
        this.#write(disk, block * random.below(Math.floor((size - length) / block) + 1), length, signal);
        return;
      }
      case 5:
        this.#settle(
          Promise.resolve(
            random.pick([disk.zero, disk.trim])?.(BigInt(HOLE.start), BigInt(HOLE.end - HOLE.start), {
              signal,
            }),
          ),
          signal,
        );
        return;
      case 6:
        this.#settle(Promise.resolve(disk.flush?.({ signal })), signal);
        return;
      case 7:
        this.#settle(Promise.resolve(disk.cache?.(0n, BigInt(block), { signal })), signal);
        return;
      default:
        this.#settle(this.#extents(disk, signal), signal);
    }
  }

  #read(disk: NbdClient, offset: number, length: number, signal: AbortSignal): void {
    const buffer = new Uint8Array(length).fill(SENTINEL);
    const reading = disk.read(BigInt(offset), buffer, { signal }).then(
      () => {
        let sentinels = 0;
        for (const byte of buffer) if (byte === SENTINEL) sentinels++;
        this.#sentinels = Math.max(this.#sentinels, sentinels);
        if (this.#isHonest && Buffer.compare(buffer, content(offset, length)) !== 0) {
          this.faults.push(`wrong data read at ${offset}`);
        }
      },
      (error: unknown) => {
        this.#abandoned.push({ buffer, then: buffer.slice() });
        throw error;
      },
    );
    this.#settle(reading, signal);
  }

  /** The buffer is used again at once when the call has settled. */
  #write(disk: NbdClient, offset: number, length: number, signal: AbortSignal): void {
    const buffer = content(offset, length).slice();
    const writing = disk.write(BigInt(offset), buffer, { signal }).finally(() => buffer.fill(SENTINEL));
    this.#settle(writing, signal);
  }

  async #extents(disk: NbdClient, signal: AbortSignal): Promise<void> {
    let end = 0n;
    let count = 0;
    for await (const { offset, length, zero } of disk.extents({ signal })) {
      if (offset !== end || length < 1n) this.faults.push(`an extent of ${length} bytes at ${offset}`);
      end += length;
      if (this.#isHonest && zero && content(Number(offset), Number(length)).some((byte) => byte !== 0)) {
        this.faults.push(`data at ${offset} called zeroes`);
      }
      if (++count === MOST_EXTENTS) return;
    }
    if (end !== disk.size) this.faults.push(`extents end at ${end}`);
  }

  #settle(call: Promise<unknown>, signal: AbortSignal): void {
    this.#calls.push(
      call.then(
        () => undefined,
        (error: unknown) => {
          if (signal.aborted && error === signal.reason) return;
          if (!isNbdError(error)) this.faults.push(`not an error of ours: ${String(error)}`);
          else if (this.#isHonest && !(this.isClosing && error.code === 'ESHUTDOWN')) {
            this.faults.push(`an honest server, and ${error.message}`);
          }
        },
      ),
    );
  }
}
