import { checksum } from '../checksum/checksum.js';
import type { ScanOptions } from '../engine/scan.js';
import type { Destination, Source } from '../endpoints/index.js';
import { verify } from '../verify.js';
import { UsageError, type Request } from './arguments.js';
import { tellerFor } from './progress.js';

/** @throws UsageError if the source can't be what was asked for; before the destination is touched */
export function checkSource({ stream, name }: Source, { verify, resume }: Request): void {
  if (!stream) return;
  if (verify) throw new UsageError(`--verify reads the source again, and ${name} can be read once only`);
  if (resume !== undefined) throw new UsageError(`--resume: ${name} can't be read from the middle`);
}

/** @throws UsageError if the destination can't be what was asked for */
export function checkWishes(source: Source, { isStream, name }: Destination, request: Request): void {
  if (!isStream) return;
  if (request.verify) throw new UsageError(`--verify reads the destination, and ${name} can't be read`);
  if (request.resume !== undefined) {
    throw new UsageError(`--resume: ${name} can't be written from the middle`);
  }
  if (request.checksum !== undefined && source.stream) {
    throw new UsageError(
      `--checksum reads again what was copied, and neither ${source.name} nor ${name} can be`,
    );
  }
}

/** Looks at what was copied. */
export class Checks {
  readonly #request: Request;
  readonly #options: ScanOptions;

  constructor(request: Request, requests: number, signal: AbortSignal) {
    const { requestSize, ignoreExtents } = request;
    this.#request = request;
    this.#options = { requests, requestSize, ignoreExtents, signal };
  }

  /** @throws NbdError at the first byte of the source that the destination has not */
  async verify(source: Source, destination: Destination): Promise<void> {
    const { device } = source;
    if (!this.#request.verify || !device) return;
    const names = { source: source.name, destination: destination.name };
    await this.#telling('verify', device.size, (options) =>
      verify(device, destination.device, { ...options, names }),
    );
  }

  /**
   * The checksum that was asked for: of what the destination has now, or where that can't be read, of the source.
   * @param size of what was copied, in bytes
   */
  async checksum(source: Source, destination: Destination, size: bigint): Promise<string | undefined> {
    const algorithm = this.#request.checksum;
    const [device, name] = destination.isStream
      ? [source.device, source.name]
      : [destination.device, destination.name];
    if (algorithm === undefined || !device) return undefined;
    return this.#telling('checksum', size, (options) =>
      checksum(device, { ...options, algorithm, size, name }),
    );
  }

  async #telling<T>(
    phase: 'verify' | 'checksum',
    size: bigint,
    act: (options: ScanOptions) => Promise<T>,
  ): Promise<T> {
    const teller = await tellerFor(this.#request.progress, size, phase);
    try {
      return await act({
        ...this.#options,
        progress: (progress) => {
          teller.update(progress);
        },
      });
    } finally {
      teller.end();
    }
  }
}
