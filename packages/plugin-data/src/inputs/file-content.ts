import { NbdError } from '@nbd/protocol';
import { Uniform } from '../content/content.js';
import { DATA } from '../content/flags.js';
import { readAt } from './read-at.js';

/** Part of an open file, read when it is needed. */
export class FileContent extends Uniform {
  private readonly descriptor: number;
  private readonly path: string;
  private readonly from: bigint;

  constructor(descriptor: number, path: string, { from, length }: { from: bigint; length: bigint }) {
    super(length, DATA);
    this.descriptor = descriptor;
    this.path = path;
    this.from = from;
  }

  /** @throws NbdError EIO if the file can't be read, or is shorter by now. */
  async read(offset: bigint, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const count = await this.readSome(this.from + offset + BigInt(done), into.subarray(done));
      if (count === 0)
        throw new NbdError('EIO', `${this.path} is shorter than it was when the disk was made`);
      done += count;
    }
  }

  private async readSome(position: bigint, into: Uint8Array): Promise<number> {
    try {
      return await readAt(this.descriptor, into, position);
    } catch (cause) {
      throw new NbdError('EIO', `${this.path} can't be read: ${(cause as Error).message}`, { cause });
    }
  }
}
