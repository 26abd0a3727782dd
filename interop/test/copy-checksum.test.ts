import { readFile, writeFile } from 'node:fs/promises';

import { expect, test } from 'vitest';
import { describeWith, nbdCopy, run, temporaryDirectory } from '../harness/index.js';

const README = new URL('../../packages/copy/README.md', import.meta.url);

describeWith(['python3'], "the Python of @nbd/copy's README", () => {
  test.each([0, 65_537, 400_000])('has the checksum of %i bytes that nbd-copy has', async (size) => {
    await using directory = await temporaryDirectory();
    const program = /```python\n([^]*?)```/.exec(await readFile(README, 'utf8'))![1]!;
    const content = Buffer.alloc(size);
    for (let i = 0; i < size; i++) if (i % 131_072 < 70_000) content[i] = i % 251;
    await writeFile(directory.file('disk.raw'), content);
    const python = await run('python3', ['-c', program], { input: content });
    const ours = await nbdCopy(['--checksum', directory.file('disk.raw'), 'null:']);
    expect(ours.stdout).toBe(python.stdout);
  });
});
