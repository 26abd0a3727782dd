import { writev } from 'node:fs';

/** Bytes that other threads write at a time. What is longer goes alone. */
const UNDER_WAY = 256 << 10;

/** Bytes that go in one call at most, if it is more than one piece. */
const RUN = 8 << 20;

interface Piece {
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/**
 * Writes to a file on other threads. Linux lets one call at a time write to a file, and those that wait for it keep
 * cores busy: so few are under way, and what comes meanwhile goes together where it is for adjacent places.
 */
export class WriteQueue {
  private readonly fd: number;
  /** By when they came. */
  private readonly waiting: Piece[] = [];
  private underWay = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * @param position where the bytes go; their end is at most 2^53-1
   * @throws Error of `fs.writev`
   */
  write(position: number, bytes: Uint8Array): Promise<void> {
    return new Promise((done, failed) => {
      this.waiting.push({ position, bytes, done, failed });
      this.goOn();
    });
  }

  private goOn(): void {
    for (;;) {
      const next = this.waiting[0];
      if (!next || (this.underWay > 0 && this.underWay + next.bytes.length > UNDER_WAY)) return;
      this.begin(this.takeRun());
    }
  }

  /** The piece that has waited longest, and those that wait to go behind it. */
  private takeRun(): Piece[] {
    const { waiting } = this;
    const run: Piece[] = [];
    let length = 0;
    for (let at = 0; at >= 0;) {
      const [piece] = waiting.splice(at, 1) as [Piece];
      run.push(piece);
      length += piece.bytes.length;
      const end = piece.position + piece.bytes.length;
      at = waiting.findIndex(({ position, bytes }) => position === end && length + bytes.length <= RUN);
    }
    return run;
  }

  private begin(run: readonly Piece[]): void {
    const buffers = run.map(({ bytes }) => bytes);
    const length = buffers.reduce((sum, { length }) => sum + length, 0);
    this.underWay += length;
    writev(this.fd, buffers, run[0]!.position, (error, count) => {
      this.underWay -= length;
      this.settle(run, error ? 0 : count, error);
      this.goOn();
    });
  }

  /** Of a run that has been tried, the first `count` bytes are written. The next ones are what an error is about. */
  private settle(run: readonly Piece[], count: number, error: Error | null): void {
    let written = count;
    let failure = error ?? (count === 0 ? new Error('nothing was written') : undefined);
    const rest: Piece[] = [];
    for (const piece of run) {
      const { position, bytes } = piece;
      if (written >= bytes.length) {
        written -= bytes.length;
        piece.done();
      } else if (failure) {
        piece.failed(failure);
        failure = undefined;
      } else {
        rest.push({ ...piece, position: position + written, bytes: bytes.subarray(written) });
        written = 0;
      }
    }
    this.waiting.unshift(...rest);
  }
}
