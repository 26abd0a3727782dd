import { NbdError } from '@nbd/protocol';
import { Bytes } from './content/bytes.js';
import { Canvas } from './content/canvas.js';
import type { Content } from './content/content.js';
import { slice } from './content/slice.js';
import { readInputs, type InputOptions } from './inputs/read-inputs.js';
import { layOut } from './layout.js';
import { parse, type Variables } from './language/parser.js';

/** A disk's content, and what it keeps open for that. */
export interface Disk {
  readonly content: Content;
  close(): Promise<void>;
}

/**
 * The disk that a string of the data language describes. Scripts have run and files are open when it is there.
 * @throws NbdError EINVAL with the line of the string and a caret under what is wrong.
 */
export async function diskOfData(text: string, variables: Variables, options: InputOptions): Promise<Disk> {
  const expression = parse(text, variables);
  const { inputs, files } = await readInputs(expression, options);
  const close = (): Promise<void> => files.close();
  try {
    return { content: layOut(expression, inputs), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A disk with these bytes. */
export function diskOfBytes(bytes: Uint8Array): Disk {
  return { content: new Bytes(bytes), close: () => Promise.resolve() };
}

/**
 * The bytes that `text` encodes. Whitespace in it does not count.
 * @throws NbdError EINVAL if it is not base64, to the last bit.
 */
export function decodeBase64(text: string): Uint8Array {
  const compact = text.replace(/[ \t\n\v\f\r]+/g, '');
  const bytes = Buffer.from(compact, 'base64');
  if (bytes.toString('base64') !== compact) {
    throw new NbdError(
      'EINVAL',
      'base64= is not base64: letters, digits, + and / in fours, the last four padded with =',
    );
  }
  return bytes;
}

/** `content`, cut off or followed by a hole, so that it is `size` bytes long. */
export function resize(content: Content, size: bigint): Content {
  if (size <= content.length) return slice(content, 0n, size);
  const canvas = new Canvas();
  canvas.write(0n, content);
  return canvas.finish(size);
}
