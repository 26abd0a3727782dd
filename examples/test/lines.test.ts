import { fileURLToPath } from 'node:url';
import { openDisk } from '@nbd/client/session';
import { checkDevice } from '@nbd/plugin/testing';
import { Exports, ServerSession } from '@nbd/server/session';
import { connectInMemory } from '@nbd/transport/memory';
import { expect, test } from 'vitest';
import lines from '../lines.js';

const poem = fileURLToPath(new URL('../floppy/poems/patience.txt', import.meta.url));

test('a line keeps the contract of a block device', async () => {
  const plugin = await lines.fromArguments([poem]);
  await checkDevice(() => plugin.open({ exportName: '1', readOnly: false }));
});

test('a client finds each line by its number, and no others', async () => {
  const exports = new Exports(await lines.create({ file: poem }));
  const open = (exportName: string) =>
    openDisk(
      (attach) => {
        connectInMemory((transport) => new ServerSession(transport, { exports }), attach);
      },
      { exportName },
    );
  const disk = await open('1');
  expect(new TextDecoder().decode(await disk.read(0n, Number(disk.size)))).toMatch(/\w/);
  await disk.close();
  await expect(open('1000')).rejects.toMatchObject({ code: 'ENOENT' });
});
