import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { copy } from '../src/index.js';
import { openDestination, openSource, parsePlace } from '../src/endpoints/index.js';
import { InOrder } from '../src/endpoints/in-order.js';

const silent = { warn: () => undefined, info: () => undefined, debug: () => undefined };
const options = { connections: 1, window: { requests: 16, bytes: 1 << 20 }, log: silent };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nbd-copy-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const path = (name: string) => join(directory, name);
const sourceAt = (text: string) => openSource(parsePlace(text), options);
const destinationAt = (text: string, more: { size?: bigint; source?: { identity?: string } } = {}) =>
  openDestination(parsePlace(text), { ...options, size: undefined, ...more });

describe('a file', () => {
  test('has its own name once it is finished, and its size', async () => {
    await writeFile(path('from'), 'sixteen bytes...');
    const source = await sourceAt(path('from'));
    const destination = await destinationAt(path('to'), { size: 16n, source });
    await copy(source.device!, destination.device);
    expect(await readdir(directory)).toEqual(['from', 'to.partial']);
    expect(destination.unfinished).toBe(path('to.partial'));

    await destination.finish(16n, { flush: true });
    await source.close();
    expect(await readdir(directory)).toEqual(['from', 'to']);
    expect(await readFile(path('to'), 'utf8')).toBe('sixteen bytes...');
  });

  test('that is given up keeps the name of an unfinished one', async () => {
    await writeFile(path('to'), 'old');
    const destination = await destinationAt(path('to'), { size: 4n });
    await destination.abandon();
    expect(await readdir(directory)).toEqual(['to.partial']);
  });

  test('is not overwritten where another of its name has come into being', async () => {
    const destination = await destinationAt(path('to'), { size: 4n });
    await writeFile(path('to'), 'another');
    await expect(destination.finish(4n, { flush: true })).rejects.toThrow(
      'has come into being meanwhile, and is left alone; the copy is complete in',
    );
    expect(await readFile(path('to'), 'utf8')).toBe('another');
  });

  test('is not copied onto itself, under whatever name', async () => {
    await writeFile(path('disk'), 'content');
    await symlink('disk', path('link'));
    const source = await sourceAt(path('disk'));
    await expect(destinationAt(path('link'), { size: 7n, source })).rejects.toThrow('is the source, too');
    await source.close();
    expect(await readFile(path('disk'), 'utf8')).toBe('content');
  });

  test.each([
    ['missing', 'ENOENT'],
    ['missing/file', 'ENOENT'],
    ['.', 'EISDIR'],
  ])('%s is no source', async (name, code) => {
    await expect(sourceAt(path(name))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(directory) as string,
    });
  });

  test.each([
    ['missing/file', 'ENOENT'],
    ['.', 'EISDIR'],
  ])('%s is no destination, and nothing is left of the attempt', async (name, code) => {
    await expect(destinationAt(path(name), { size: 1n })).rejects.toMatchObject({ code });
    expect(await readdir(directory)).toEqual([]);
  });

  test('a symbolic link that leads nowhere is no destination', async () => {
    await symlink('nowhere', path('link'));
    await expect(destinationAt(path('link'))).rejects.toThrow('is a symbolic link that leads to no file');
    expect(await readdir(directory)).toEqual(['link']);
  });
});

describe('a plugin', () => {
  test('is a disk in this process, on both sides', async () => {
    const source = await sourceAt('plugin:data?1+2+3&size=512'.replaceAll('+', '%20'));
    const destination = await destinationAt('plugin:memory?1M');
    await copy(source.device!, destination.device);
    const start = new Uint8Array(4);
    await destination.device.read(0n, start);
    expect([...start]).toEqual([1, 2, 3, 0]);
    await destination.finish(512n, { flush: true });
    await source.close();
  });

  test.each([
    ['plugin:memory', 'size=SIZE, or just SIZE, is missing'],
    ['plugin:memory?size=1M&sice=2', "there is no parameter 'sice'. Did you mean size?"],
    ['plugin:nothing-of-this-name', 'nothing-of-this-name'],
  ])('%s is an error that says why', async (text, why) => {
    await expect(sourceAt(text)).rejects.toThrow(why);
  });
});

test('null: takes everything, and is nothing to read from', async () => {
  await writeFile(path('from'), 'content');
  const source = await sourceAt(path('from'));
  const destination = await destinationAt('null:');
  expect((await copy(source.device!, destination.device)).done).toBe(7n);
  await source.close();
  await expect(sourceAt('null:')).rejects.toThrow('null: has nothing to read');
});

describe('a destination that takes bytes in order', () => {
  function stream() {
    const written: number[] = [];
    const disk = new InOrder({
      write: (bytes) => {
        written.push(...bytes);
        return Promise.resolve();
      },
    });
    return { written, disk };
  }

  test('gets them in the order of their offsets, whatever that of the writes', async () => {
    const { written, disk } = stream();
    await Promise.all([
      disk.write(4n, Uint8Array.of(5, 6)),
      disk.write(1n, Uint8Array.of(2)),
      disk.zero(2n, 2n),
      disk.write(0n, Uint8Array.of(1)),
    ]);
    expect(written).toEqual([1, 2, 0, 0, 5, 6]);
  });

  test('lets those go that wait for what will not come', async () => {
    const { written, disk } = stream();
    const stop = new AbortController();
    const waiting = disk.write(1n, Uint8Array.of(2), { signal: stop.signal });
    stop.abort(new Error('reading failed'));
    await expect(waiting).rejects.toMatchObject({ code: 'ECANCELED' });
    await expect(disk.write(0n, Uint8Array.of(1))).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(written).toEqual([]);
  });

  test('is nothing to read from', () => {
    expect(() => stream().disk.read()).toThrow('can not be read');
  });
});
