import { once } from 'node:events';
import type { WriteStream } from 'node:tty';

const DEFAULT_WIDTH = 80;

/** Nobody reads our output any more. */
export class OutputClosed extends Error {}

/** Standard output. Whoever reads it may stop at any time (`| head`), which is no error. */
export class Output {
  readonly #stream: WriteStream;
  #isClosed = false;

  constructor(stream: WriteStream) {
    this.#stream = stream;
    stream.on('error', this.#onError);
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY;
  }

  /** In characters. */
  get width(): number {
    return this.#stream.columns || DEFAULT_WIDTH;
  }

  write(text: string): void {
    this.#stream.write(text);
  }

  /**
   * For those who write much: waits until the reader has caught up.
   * @throws OutputClosed if there is no reader any more.
   */
  async room(): Promise<void> {
    if (this.#stream.writableNeedDrain) await once(this.#stream, 'drain').catch(() => undefined);
    if (this.#isClosed) throw new OutputClosed();
  }

  readonly #onError = (): void => {
    this.#isClosed = true;
  };
}
