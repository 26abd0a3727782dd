import { open, type FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { formatSize } from '@nbd/protocol';
import { Bytes } from '../content/bytes.js';
import type { Content } from '../content/content.js';
import type { File } from '../language/expression.js';
import { errorAt } from '../language/source.js';
import { FileContent } from './file-content.js';
import { readAt } from './read-at.js';

/** Files up to this size are read at once: those of /proc and /sys say that they are empty, or one page. */
const SMALL_FILE = 4096;
const CHUNK = 1 << 16;

export interface FilesOptions {
  /** Where relative paths start. */
  readonly cwd: string;
  /** Most bytes to read at once, of a device. */
  readonly limit: bigint;
}

/** The files that a string reads. Those that are read where they are needed stay open. */
export class Files {
  private readonly options: FilesOptions;
  private readonly kept = new Map<string, { handle: FileHandle; size: bigint }>();

  constructor(options: FilesOptions) {
    this.options = options;
  }

  /** @throws NbdError EINVAL if the file can't be read, or is a device that gives more than the limit. */
  async content({ path, range, place }: File): Promise<Content> {
    const { from, to } = range ?? { from: 0n, to: undefined };
    if (to !== undefined && from > to) throw errorAt(place, BACKWARDS);
    try {
      return await this.open(resolve(this.options.cwd, path), from, to);
    } catch (cause) {
      throw errorAt(place, `${path} can't be read: ${(cause as Error).message}`, { cause });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.kept.values()].map(({ handle }) => handle.close()));
  }

  private async open(path: string, from: bigint, to: bigint | undefined): Promise<Content> {
    const kept = this.kept.get(path);
    if (kept !== undefined) return new FileContent(kept.handle.fd, path, slice(kept.size, from, to));

    const handle = await open(path);
    try {
      const stat = await handle.stat({ bigint: true });
      if (stat.isFile() && stat.size > SMALL_FILE) {
        this.kept.set(path, { handle, size: stat.size });
        return new FileContent(handle.fd, path, slice(stat.size, from, to));
      }
      return new Bytes(await readOnce(handle, from, to, this.options.limit));
    } finally {
      if (this.kept.get(path)?.handle !== handle) await handle.close();
    }
  }
}

const BACKWARDS = 'expected a slice that ends after it begins';

/** What there is of a range in a file of this size. */
function slice(size: bigint, from: bigint, to: bigint | undefined): { from: bigint; length: bigint } {
  const end = to === undefined || to > size ? size : to;
  return { from, length: from < end ? end - from : 0n };
}

/** Reads up to `to` or to the end, whichever comes first. */
async function readOnce(
  handle: FileHandle,
  from: bigint,
  to: bigint | undefined,
  limit: bigint,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let at = from; to === undefined || at < to;) {
    const chunk = new Uint8Array(to === undefined || to - at > CHUNK ? CHUNK : Number(to - at));
    // From the start without a position, so that pipes and terminals can be read too.
    const count = await readAt(handle.fd, chunk, from === 0n ? null : at);
    if (count === 0) break;
    chunks.push(chunk.subarray(0, count));
    at += BigInt(count);
    if (at - from > limit) {
      const advice = 'Read part of it, as in </dev/zero[:512], or raise script-limit=SIZE';
      throw new Error(`it gives more than ${formatSize(limit)}. ${advice}`);
    }
  }
  return Buffer.concat(chunks);
}
