import type {
  Awaitable,
  BlockDevice,
  ReadOptions,
  TrimOptions,
  WriteOptions,
  ZeroOptions,
} from '@nbd/protocol';
import type { Random } from './random.js';
import { Ranges } from './ranges.js';
import type { Range } from './ranges.js';
import { settle } from './settle.js';

/** A limit on what is asked of a device. */
export interface Limits {
  /** Longest read or write, in bytes. */
  readonly maxLength: number;
  /** Milliseconds that one call may take. */
  readonly timeout: number;
}

/**
 * A device under test. A call that fails is named in the error, one that does not settle is given up, and every buffer
 * lies between bytes that no device may touch and is scribbled over as soon as it is the caller's again.
 */
export class Subject {
  readonly device: BlockDevice;
  readonly ranges: Ranges;
  readonly random: Random;
  readonly #timeout: number;
  readonly #returned: { buffer: Uint8Array; what: string }[] = [];
  #late: string | undefined;

  constructor(device: BlockDevice, random: Random, { maxLength, timeout }: Limits) {
    this.device = device;
    this.random = random;
    this.ranges = new Ranges(device, maxLength, random);
    this.#timeout = timeout;
  }

  get writable(): boolean {
    return this.device.write !== undefined && this.device.info?.readOnly !== true;
  }

  /** Reads and checks what a single read can show. `filler` is what the buffer holds before. */
  async read(range: Range, filler = this.random.below(256)): Promise<Uint8Array> {
    const what = `read${spoken(range)}`;
    const { buffer, view } = guarded(range.length, this.random.below(GUARD));
    view.fill(filler);
    const holes: [bigint, bigint][] = [];
    let settled = false;
    const add = (offset: bigint, length: bigint) => {
      if (settled) this.reportLate(`${what} told of a hole after it had settled`);
      holes.push([offset, length]);
    };
    const options: ReadOptions[] = [
      { holes: { add } },
      { holes: { add }, signal: new AbortController().signal },
      {},
    ];
    const chosen = this.random.below(options.length + 1);
    await this.settle(what, () => this.device.read(range.offset, view, options[chosen]));
    settled = true;
    checkGuards(buffer, view, what);
    for (const [offset, length] of holes) checkHole(range, view, offset, length, what);
    const bytes = view.slice();
    this.#takeBack(buffer, what);
    return bytes;
  }

  async write(range: Range, bytes: Uint8Array, options?: WriteOptions): Promise<void> {
    const what = `write${spoken(range)}`;
    const { buffer, view } = guarded(range.length, this.random.below(GUARD));
    view.set(bytes);
    await this.settle(what, () => this.device.write!(range.offset, view, options));
    checkGuards(buffer, view, what);
    const changed = firstDifference(bytes, view);
    if (changed !== -1) throw new Error(`${what} changed byte ${changed} of the caller's buffer`);
    this.#takeBack(buffer, what);
  }

  async zero(range: Range, options?: ZeroOptions): Promise<void> {
    const call = () => this.device.zero!(range.offset, BigInt(range.length), options);
    await this.settle(`zero${spoken(range)}`, call);
  }

  async trim(range: Range, options?: TrimOptions): Promise<void> {
    const call = () => this.device.trim!(range.offset, BigInt(range.length), options);
    await this.settle(`trim${spoken(range)}`, call);
  }

  async cache(range: Range): Promise<void> {
    await this.settle(`cache${spoken(range)}`, () => this.device.cache!(range.offset, BigInt(range.length)));
  }

  async flush(): Promise<void> {
    await this.settle('flush', () => this.device.flush?.());
  }

  /** Waits for a call. */
  settle(what: string, call: () => Awaitable<void>): Promise<void> {
    return settle(what, this.#timeout, call);
  }

  /** Something happened when it was too late to fail the call: fails the next {@link checkQuiet}. */
  reportLate(message: string): void {
    this.#late ??= message;
  }

  /** Checks that the device leaves alone what is no longer lent to it. */
  async checkQuiet(): Promise<void> {
    // What a device does late, it does in a later turn of the event loop.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#late !== undefined) throw new Error(this.#late);
    for (const { buffer, what } of this.#returned) {
      if (firstOtherThan(SCRIBBLE, buffer) !== -1) {
        throw new Error(`${what} touched the buffer after it had settled`);
      }
    }
  }

  #takeBack(buffer: Uint8Array, what: string): void {
    buffer.fill(SCRIBBLE);
    if (this.#returned.length < KEPT_BUFFERS) this.#returned.push({ buffer, what });
    else this.#returned[this.random.below(KEPT_BUFFERS)] = { buffer, what };
  }
}

/** ` of 512 bytes at 4096`, for messages. */
export function spoken({ offset, length }: Range): string {
  return ` of ${length} bytes at ${offset}`;
}

/** Where two arrays of the same length differ first, or -1. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return i;
  }
  return -1;
}

/** Where the first byte is that is not `byte`, or -1. */
export function firstOtherThan(byte: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== byte) return i;
  }
  return -1;
}

const GUARD = 32;
const GUARD_BYTE = 0xa5;
const SCRIBBLE = 0x5c;
const KEPT_BUFFERS = 32;

/** A view of `length` bytes that starts at an odd place of a buffer with guard bytes on both sides. */
function guarded(length: number, skew: number): { buffer: Uint8Array; view: Uint8Array } {
  const buffer = new Uint8Array(GUARD + skew + length + GUARD).fill(GUARD_BYTE);
  return { buffer, view: buffer.subarray(GUARD + skew, GUARD + skew + length) };
}

function checkGuards(buffer: Uint8Array, view: Uint8Array, what: string): void {
  const end = view.byteOffset + view.length;
  for (let i = 0; i < buffer.length; i++) {
    if (i === view.byteOffset) i = end;
    if (buffer[i] !== GUARD_BYTE) {
      const place = i < end ? `${view.byteOffset - i} bytes before` : `${i - end + 1} bytes after`;
      throw new Error(`${what} wrote ${place} the buffer that it was lent`);
    }
  }
}

function checkHole(range: Range, view: Uint8Array, offset: bigint, length: bigint, what: string): void {
  const end = range.offset + BigInt(range.length);
  if (
    typeof offset !== 'bigint' ||
    typeof length !== 'bigint' ||
    length < 1n ||
    offset < range.offset ||
    offset + length > end
  ) {
    throw new Error(
      `${what} told of a hole of ${String(length)} bytes at ${String(offset)}, which is not in it`,
    );
  }
  const from = Number(offset - range.offset);
  const data = firstOtherThan(0, view.subarray(from, from + Number(length)));
  if (data !== -1) {
    throw new Error(
      `${what} told of a hole of ${length} bytes at ${offset}, but byte ${offset + BigInt(data)} is not zero`,
    );
  }
}
