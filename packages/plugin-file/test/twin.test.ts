import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { contentOf, openDisk, setUp } from './open.js';
import { temporaryDirectory } from './temporary.js';

const directory = temporaryDirectory();

describe.skipIf(process.platform !== 'linux')('a twin', () => {
  test('has the same file, whatever has its name by now, and though it is locked', async () => {
    const path = join(directory, 'disk');
    writeFileSync(path, 'the file');
    const plugin = await setUp([path]);
    renameSync(path, join(directory, 'moved'));
    writeFileSync(path, 'another!');

    const twin = await openDisk([...plugin.twin!()!]);
    expect(Buffer.from(await contentOf(twin, 0n, 8)).toString()).toBe('the file');
    await twin.write!(0n, Buffer.from('one'));
    const device = await plugin.open({ exportName: '', readOnly: false });
    expect(Buffer.from(await contentOf(device, 0n, 8)).toString()).toBe('one file');
    await device.close?.();
  });

  test('can’t be had of a directory, whose files each process would find anew', async () => {
    const path = join(directory, 'files');
    mkdirSync(path);
    expect((await setUp([`dir=${path}`])).twin!()).toBeUndefined();
  });
});
