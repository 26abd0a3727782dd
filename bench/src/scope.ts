/** What was started or made for a case; it all goes when the scope ends, the latest first. */
export class Scope implements AsyncDisposable {
  readonly #held: AsyncDisposable[] = [];
  readonly #made = new Map<unknown, Promise<unknown>>();

  use<T extends AsyncDisposable>(resource: T): T {
    this.#held.push(resource);
    return resource;
  }

  /** What `make` makes, the same for all contenders of the case: a file that each of them serves. */
  share<T>(make: (scope: Scope) => Promise<T>): Promise<T> {
    if (!this.#made.has(make)) this.#made.set(make, make(this));
    return this.#made.get(make) as Promise<T>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const resource of this.#held.splice(0).reverse()) await resource[Symbol.asyncDispose]();
  }
}
