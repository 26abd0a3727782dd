const OVER = Symbol();

/** Time for several things in a row: what a plugin never finishes is not waited for without end. */
export class Deadline {
  readonly #over: Promise<typeof OVER>;
  #timer!: ReturnType<typeof setTimeout>;

  constructor(milliseconds: number) {
    this.#over = new Promise((resolve) => {
      this.#timer = setTimeout(resolve, milliseconds, OVER);
    });
  }

  /**
   * Waits for `work`, and throws what it rejects with.
   * @returns false if the time was over first: the work goes on then
   */
  async wait(work: Promise<unknown>): Promise<boolean> {
    return (await Promise.race([work, this.#over])) !== OVER;
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
