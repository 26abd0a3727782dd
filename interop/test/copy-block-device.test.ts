import { randomBytes } from 'node:crypto';
import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { describeWith, nbdCopy, run, temporaryDirectory, type TemporaryDirectory } from '../harness/index.js';

const MiB = 2 ** 20;

/** A disk of which a MiB in the middle is data. */
async function sparseDisk(path: string): Promise<Buffer> {
  await writeFile(path, '');
  await truncate(path, 8 * MiB);
  await using file = await open(path, 'r+');
  await file.write(randomBytes(MiB), 0, MiB, 3 * MiB);
  await file.sync();
  return await readFile(path);
}

/** A loop device over a new file of these bytes. */
async function loopDevice(directory: TemporaryDirectory, content: Buffer) {
  const path = directory.file('backing');
  await writeFile(path, content);
  const device = (await run('losetup', ['--find', '--show', path])).stdout.trim();
  return {
    path,
    device,
    [Symbol.asyncDispose]: () => run('losetup', ['--detach', device]).then(() => undefined),
  };
}

async function allocated(path: string): Promise<number> {
  await run('sync', [path]);
  return (await stat(path)).blocks * 512;
}

const isRoot = process.getuid?.() === 0;

describeWith(['losetup'], 'a block device', () => {
  test.skipIf(!isRoot)('is read whole, and what is zero of it becomes holes of a file', async () => {
    await using directory = await temporaryDirectory();
    const content = await sparseDisk(directory.file('disk'));
    await using loop = await loopDevice(directory, content);
    const copy = directory.file('copy');
    await nbdCopy([loop.device, copy]);
    expect((await readFile(copy)).equals(content)).toBe(true);
    expect(await allocated(copy)).toBeLessThan(2 * MiB);
  });

  test.skipIf(!isRoot)(
    'is written, given back where the source has holes, and left alone beyond it',
    async () => {
      await using directory = await temporaryDirectory();
      const content = await sparseDisk(directory.file('disk'));
      const before = randomBytes(12 * MiB);
      await using loop = await loopDevice(directory, before);
      await nbdCopy(['--verify', directory.file('disk'), loop.device]);
      const after = await readFile(loop.device);
      expect(after.subarray(0, 8 * MiB).equals(content)).toBe(true);
      expect(after.subarray(8 * MiB).equals(before.subarray(8 * MiB))).toBe(true);
      expect(await allocated(loop.path)).toBeLessThan(6 * MiB);
    },
  );

  test.skipIf(!isRoot)('that is too small is not touched', async () => {
    await using directory = await temporaryDirectory();
    await sparseDisk(directory.file('disk'));
    const before = randomBytes(4 * MiB);
    await using loop = await loopDevice(directory, before);
    const { code, stderr } = await nbdCopy([directory.file('disk'), loop.device], { anyCode: true });
    expect(code).toBe(1);
    expect(stderr).toContain(`${loop.device} is too small: it has 4194304 bytes`);
    expect((await readFile(loop.device)).equals(before)).toBe(true);
  });
});
