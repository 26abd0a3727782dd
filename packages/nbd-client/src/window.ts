/** How much may be under way at once. */
export interface WindowLimits {
  /** Bytes of the data that is read and written; 64 MiB if not given. */
  readonly bytes?: number;
  /** Requests; 1024 if not given. */
  readonly requests?: number;
}

export const DEFAULT_WINDOW = { bytes: 64 << 20, requests: 1024 };

/** Counts what is under way. One request is always let in, however large. */
export class Window {
  readonly #maxBytes: number;
  readonly #maxRequests: number;
  #bytes = 0;
  #requests = 0;

  constructor(limits: WindowLimits = {}) {
    this.#maxBytes = limits.bytes ?? DEFAULT_WINDOW.bytes;
    this.#maxRequests = limits.requests ?? DEFAULT_WINDOW.requests;
  }

  /** @param bytes of data that the request carries in either direction; trim, zero and extents carry none. */
  hasRoom(bytes: number): boolean {
    if (this.#requests === 0) return true;
    return this.#requests < this.#maxRequests && this.#bytes + bytes <= this.#maxBytes;
  }

  enter(bytes: number): void {
    this.#requests++;
    this.#bytes += bytes;
  }

  leave(bytes: number): void {
    this.#requests--;
    this.#bytes -= bytes;
  }
}
