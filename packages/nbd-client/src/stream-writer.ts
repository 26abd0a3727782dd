import { NbdError, type BlockDevice } from '@nbd/protocol';

/** Where a stream writes, and how much it lets be under way. */
export interface WriteStreamOptions {
  /** Bytes from the start of the device; 0 if not given. */
  readonly offset?: bigint;
  /** Bytes of each write; 256 KiB if not given. What comes in smaller pieces is put together. */
  readonly chunkSize?: number;
  /** Bytes that may be under way before the stream asks for a pause; 16 MiB if not given. */
  readonly writeahead?: number;
  readonly signal?: AbortSignal;
}

const CHUNK_SIZE = 256 << 10;
const WRITEAHEAD = 16 << 20;

/**
 * Writes what comes in order, many writes under way at once. What it is given is copied, so that its buffers can be
 * used again at once.
 */
export class StreamWriter {
  readonly #device: BlockDevice;
  readonly #write: NonNullable<BlockDevice['write']>;
  readonly #signal: AbortSignal | undefined;
  readonly #chunkSize: number;
  readonly #depth: number;
  readonly #underWay = new Set<Promise<void>>();
  readonly #spare: Uint8Array[] = [];
  #chunk: Uint8Array;
  #filled = 0;
  #offset: bigint;
  #error: unknown;

  /** @throws NbdError EROFS if the device can't be written; EINVAL if the offset is not at a block. */
  constructor(device: BlockDevice, options: WriteStreamOptions = {}) {
    if (device.write === undefined || device.info?.readOnly === true) {
      throw new NbdError('EROFS', 'the disk is read-only');
    }
    this.#device = device;
    this.#write = device.write.bind(device);
    this.#signal = options.signal;
    this.#offset = options.offset ?? 0n;
    const minimum = device.info?.blockSize?.minimum ?? 1;
    if (this.#offset % BigInt(minimum) !== 0n) {
      throw new NbdError(
        'EINVAL',
        `a stream can't start at offset ${this.#offset}: blocks have ${minimum} bytes`,
      );
    }
    const wanted = options.chunkSize ?? CHUNK_SIZE;
    this.#chunkSize = Math.max(minimum, wanted - (wanted % minimum));
    this.#depth = Math.max(1, Math.floor((options.writeahead ?? WRITEAHEAD) / this.#chunkSize));
    this.#chunk = new Uint8Array(this.#chunkSize);
  }

  /**
   * Takes all of `bytes`.
   * @returns a promise to wait for when enough is under way.
   * @throws what an earlier write has failed with; NbdError ENOSPC beyond the end of the device.
   */
  write(bytes: Uint8Array): Promise<void> | undefined {
    this.#throwIfFailed();
    const end = this.#offset + BigInt(this.#filled + bytes.length);
    if (end > this.#device.size) {
      throw new NbdError('ENOSPC', `the stream goes on beyond the disk's ${this.#device.size} bytes`);
    }
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, this.#chunkSize - this.#filled);
      this.#chunk.set(bytes.subarray(at, at + count), this.#filled);
      at += count;
      this.#filled += count;
      if (this.#filled === this.#chunkSize) this.#startWrite();
    }
    return this.#underWay.size < this.#depth ? undefined : this.#room();
  }

  /** Writes the rest, waits for everything, and flushes where the device can. */
  async finish(): Promise<void> {
    await this.#drain();
    if (this.#filled > 0) await this.#writeRest();
    await this.#device.flush?.({ ...(this.#signal && { signal: this.#signal }) });
  }

  async #room(): Promise<void> {
    while (this.#underWay.size >= this.#depth) await Promise.race(this.#underWay);
    this.#throwIfFailed();
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#throwIfFailed();
  }

  #startWrite(): void {
    const chunk = this.#chunk;
    const writing = this.#writeChunk(this.#offset, chunk)
      .catch((error: unknown) => {
        this.#error ??= error;
      })
      .finally(() => {
        this.#underWay.delete(writing);
        this.#spare.push(chunk);
      });
    this.#underWay.add(writing);
    this.#offset += BigInt(chunk.length);
    this.#filled = 0;
    this.#chunk = this.#spare.pop() ?? new Uint8Array(this.#chunkSize);
  }

  async #writeChunk(offset: bigint, chunk: Uint8Array): Promise<void> {
    await this.#write(offset, chunk, { ...(this.#signal && { signal: this.#signal }) });
  }

  /** What is left may end within a block, of which the other part stays as it is. */
  async #writeRest(): Promise<void> {
    const minimum = this.#device.info?.blockSize?.minimum ?? 1;
    const length = Math.ceil(this.#filled / minimum) * minimum;
    const rest = this.#chunk.subarray(0, length);
    if (length > this.#filled) {
      const block = new Uint8Array(minimum);
      await this.#device.read(this.#offset + BigInt(length - minimum), block);
      rest.set(block.subarray(this.#filled - (length - minimum)), this.#filled);
    }
    await this.#writeChunk(this.#offset, rest);
  }

  #throwIfFailed(): void {
    if (this.#error !== undefined) throw this.#error as Error;
  }
}
