/**
 * Counts the calls that have a descriptor in their hands on other threads. It may be closed once there are none: its
 * number then belongs to whatever is opened next.
 */
export class UnderWay {
  private count = 0;
  private idle: (() => void) | undefined;

  start(): void {
    this.count++;
  }

  end(): void {
    if (--this.count === 0) this.idle?.();
  }

  async during<T>(call: () => Promise<T>): Promise<T> {
    this.start();
    try {
      return await call();
    } finally {
      this.end();
    }
  }

  /** Settles when there are none. None may be started after this. */
  async whenIdle(): Promise<void> {
    if (this.count > 0) await new Promise<void>((resolve) => (this.idle = resolve));
  }
}
