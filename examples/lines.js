import { readFile } from 'node:fs/promises';
import { definePlugin, path } from '@nbd/plugin';
import { NbdError } from '@nbd/protocol';

/** Each line of a text is a disk of its own: a plugin with several exports, in plain JavaScript. */
export default definePlugin({
  name: 'lines',
  description: 'Each line of a text as a disk, by its number',
  parameters: { file: path({ required: true, positional: true, help: 'a text' }) },
  examples: ['./lines.js poem.txt'],

  async setup({ file }) {
    const text = await readFile(file, 'utf8');
    return new Map(text.split('\n').map((line, index) => [String(index + 1), line]));
  },

  // What `nbdinfo --list` shows.
  exports: (_connection, lines) => [...lines].map(([name, line]) => ({ name, description: line })),

  open({ exportName }, lines) {
    const line = lines.get(exportName);
    if (line === undefined) throw new NbdError('ENOENT', `there is no line ${exportName}`);
    const bytes = new TextEncoder().encode(line);
    return {
      size: BigInt(bytes.length),
      read(offset, into) {
        const start = Number(offset);
        into.set(bytes.subarray(start, start + into.length));
      },
    };
  },
});
