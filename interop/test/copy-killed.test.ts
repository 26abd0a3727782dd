import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';
import { collect, NBD_COPY, run, serve, startChild, temporaryDirectory } from '../harness/index.js';

const MEBIBYTE = 1 << 20;

/** Islands of data in 24 MiB, the last of them ragged. */
function disk(): Buffer {
  const bytes = Buffer.alloc(24 * MEBIBYTE + 12_345);
  for (let at = 0; at < bytes.length; at += 4096) {
    if (at % MEBIBYTE < 700_000) bytes.fill((at / 4096) % 255 || 255, at, Math.min(at + 4000, bytes.length));
  }
  return bytes;
}

/** How long one test goes on killing, in milliseconds. */
const TIME = 6000;
const KILLS = 100;

describe('nbd-copy --resume, killed at random moments,', () => {
  test.each(['file', 'server'])(
    'never says that it is done with a %s that differs, and makes it equal in the end',
    async (kind) => {
      await using directory = await temporaryDirectory();
      const bytes = disk();
      const source = directory.file('source.raw');
      const copied = directory.file('copied.raw');
      await writeFile(source, bytes);
      if (kind === 'server') await writeFile(copied, Buffer.alloc(bytes.length, 0xee));
      // So slow that a copy takes seconds, and is killed in the middle.
      await using from = await serve(['--filter=delay,read=20ms', 'plugin-file', source]);
      await using to = kind === 'server' ? await serve(['plugin-file', copied]) : undefined;
      const words = [
        NBD_COPY,
        '--verbose',
        '--resume',
        directory.file('state'),
        '--connections=1',
        '--requests=2',
      ];
      words.push('--request-size=64K', from.uri, to?.uri ?? copied);

      const moments: number[] = [];
      let wentOn = 0;
      let isDone = false;
      for (const end = Date.now() + TIME; !isDone && Date.now() < end && moments.length < KILLS;) {
        const { child, ended } = startChild(process.execPath, words);
        const stderr = collect(child.stderr);
        // Some before it copies, most while it does.
        if (moments.length % 4 > 0) await stderr.match(/copying/);
        const moment = Math.random() * 500;
        moments.push(Math.round(moment));
        const isOver = new AbortController();
        const killing = setTimeout(moment, undefined, { signal: isOver.signal }).then(
          () => child.kill('SIGKILL'),
          () => undefined,
        );
        const { code, signal } = await ended;
        isOver.abort();
        await killing;
        expect(signal ?? code, stderr.text()).toBeOneOf(['SIGKILL', 0]);
        isDone = code === 0;
        if (/going on at offset [1-9]/.test(stderr.text())) wentOn++;
      }
      if (!isDone) await run(process.execPath, words);
      expect(wentOn).toBeGreaterThan(0);
      const result = (await readFile(copied)).subarray(0, bytes.length);
      expect(result.equals(bytes), `killed after ${moments.join(', ')} ms`).toBe(true);
    },
    60_000,
  );
});
