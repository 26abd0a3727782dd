import type { Awaitable } from '@nbd/protocol';

/**
 * Calls that may be under way together. Together they fail with the first error, but only once all have settled:
 * until then they may be filling a buffer that is the caller's again afterwards.
 */
export class SideBySide {
  private readonly pending: Promise<void>[] = [];
  private failure: { error: unknown } | undefined;

  start(call: () => Awaitable<void>): void {
    try {
      const result = call();
      if (result !== undefined) this.pending.push(result.catch(this.fail));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Returns at once if all calls did. */
  settled(): Promise<void> | undefined {
    if (this.pending.length > 0) return Promise.all(this.pending).then(this.check);
    this.check();
  }

  private readonly fail = (error: unknown): void => {
    this.failure ??= { error };
  };

  private readonly check = (): void => {
    if (this.failure !== undefined) throw this.failure.error;
  };
}
