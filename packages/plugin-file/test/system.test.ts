import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isInMemory, loadSystem } from '../src/system/index.js';
import { PLACES, temporaryDirectory } from './temporary.js';

const { system } = loadSystem();
const MiB = 2 ** 20;

describe.skipIf(system === undefined).each(PLACES)('system calls on a file in %s', (place) => {
  const calls = system!;
  const directory = temporaryDirectory(place);
  let count = 0;

  function sparseFile(size: number): number {
    const fd = openSync(join(directory, String(count++)), 'w+');
    onTestFinished(() => {
      closeSync(fd);
    });
    ftruncateSync(fd, size);
    return fd;
  }

  test('find data and holes', () => {
    const fd = sparseFile(4 * MiB);
    writeSync(fd, new Uint8Array(MiB).fill(1), 0, MiB, MiB);
    expect(calls.seekEnd(fd)).toBe(BigInt(4 * MiB));
    expect(calls.seekData(fd, 0n)).toBe(BigInt(MiB));
    expect(calls.seekHole(fd, BigInt(MiB))).toBe(BigInt(2 * MiB));
    expect(calls.seekData(fd, BigInt(2 * MiB))).toBeUndefined();
    expect(calls.seekHole(fd, BigInt(3 * MiB))).toBe(BigInt(3 * MiB));
  });

  test('allocate space, and give it back', async () => {
    const fd = sparseFile(4 * MiB);
    await calls.allocate(fd, 0n, BigInt(2 * MiB));
    expect(fstatSync(fd).blocks).toBeGreaterThanOrEqual((2 * MiB) / 512);
    await calls.punchHole(fd, 0n, BigInt(2 * MiB));
    expect(fstatSync(fd)).toMatchObject({ blocks: 0, size: 4 * MiB });
  });

  test('tell what is in memory', () => {
    const fd = sparseFile(4 * MiB);
    writeSync(fd, new Uint8Array(MiB), 0, MiB, MiB);
    if (isInMemory(directory)) {
      expect(() => calls.isCached(fd, BigInt(MiB), MiB)).toThrow('ENOTSUP');
      return;
    }
    expect(calls.isCached(fd, BigInt(MiB), MiB)).toBe(true);
    expect(calls.isCached(fd, BigInt(MiB + 1), 5)).toBe(true);
    // Nobody has read the hole.
    expect(calls.isCached(fd, BigInt(MiB), MiB + 1)).toBe(false);
    expect(calls.isCached(fd, BigInt(MiB - 1), 2)).toBe(false);
    expect(calls.isCached(fd, BigInt(3 * MiB), MiB)).toBe(false);
    expect(calls.isCached(fd, BigInt(5 * MiB), 1)).toBe(false);
  });

  test('write parts of a buffer, many at once', async () => {
    const fd = sparseFile(4 * MiB);
    const buffer = Uint8Array.from({ length: 4096 }, (_, i) => i);
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) => calls.write(fd, buffer.subarray(i, i + 1), BigInt(i * 1000))),
    );
    const written = new Uint8Array(1_000_000);
    readSync(fd, written, 0, written.length, 0);
    for (let i = 0; i < 1000; i++) expect(written[i * 1000]).toBe(i & 255);
  });

  test('fail as those of Node do', async () => {
    const fd = openSync(join(directory, 'read-only'), 'w');
    closeSync(fd);
    const reader = openSync(join(directory, 'read-only'), 'r');
    onTestFinished(() => {
      closeSync(reader);
    });
    await expect(calls.write(reader, new Uint8Array(1), 0n)).rejects.toMatchObject({
      code: 'EBADF',
      syscall: 'pwrite',
      message: expect.stringContaining('bad file descriptor') as string,
    });
    await expect(calls.punchHole(reader, 0n, 1n)).rejects.toMatchObject({
      code: 'EBADF',
      syscall: 'fallocate',
    });
    expect(() => calls.seekData(-1, 0n)).toThrow(
      expect.objectContaining({ code: 'EBADF', syscall: 'lseek' }),
    );
    await expect(calls.discard(reader, 0n, 4096n)).rejects.toMatchObject({ syscall: 'ioctl' });
  });
});
