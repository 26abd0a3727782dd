import type { OpenRequest, Plugin } from '@nbd/plugin';

/**
 * What all connections to an export share. A plugin that lists no exports has one, by whatever name it is asked for.
 */
export class PerExport<T> {
  readonly #inner: Plugin;
  readonly #byName = new Map<string, T>();

  constructor(inner: Plugin) {
    this.#inner = inner;
  }

  /** The name that stands for the export that is asked for. */
  async nameOf(request: OpenRequest): Promise<string> {
    const hasSeveral = (await this.#inner.exports?.(request)) !== undefined;
    return hasSeveral ? request.exportName : '';
  }

  /** What is kept under a name; the first time, what `make` makes. */
  get(name: string, make: () => T): T {
    let kept = this.#byName.get(name);
    if (kept === undefined) {
      kept = make();
      this.#byName.set(name, kept);
    }
    return kept;
  }

  all(): Iterable<T> {
    return this.#byName.values();
  }
}
