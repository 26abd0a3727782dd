/**
 * Flushes for many callers at once. One that comes while a flush is under way may have been preceded by writes that the
 * flush does not cover: it waits for the next one, together with all others that wait.
 */
export class GroupFlush {
  private readonly flushNow: () => Promise<void>;
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private failure: { error: unknown } | undefined;

  constructor(flushNow: () => Promise<void>) {
    this.flushNow = flushNow;
  }

  flush(): Promise<void> {
    if (this.running === undefined) return this.start();
    this.next ??= this.running.then(this.startNext, this.startNext);
    return this.next;
  }

  private async start(): Promise<void> {
    // Linux reports what it failed to write to the disk once, and takes it for written then (fsync(2), "EIO"): after
    // one failure no flush can promise anything.
    if (this.failure !== undefined) throw this.failure.error;
    this.running = this.flushNow();
    try {
      await this.running;
    } catch (error) {
      this.failure = { error };
      throw error;
    } finally {
      this.running = undefined;
    }
  }

  private readonly startNext = (): Promise<void> => {
    this.next = undefined;
    return this.start();
  };
}
