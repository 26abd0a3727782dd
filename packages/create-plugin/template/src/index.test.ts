import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDisk } from '@nbd/client';
import { checkDevice } from '@nbd/plugin/testing';
import { Exports, ServerSession } from '@nbd/server/session';
import { connectInMemory } from '@nbd/transport/memory';
import myDisk from './index.js';

test('it keeps the contract of a block device', async () => {
  const plugin = await myDisk.fromArguments(['1M']);
  await checkDevice(() => plugin.open({ exportName: '', readOnly: false }));
});

test('a client sees its bytes', async () => {
  // Server and client without a socket between them.
  const exports = new Exports(await myDisk.fromArguments(['1M']));
  const client = await openDisk((attach) => {
    connectInMemory((transport) => new ServerSession(transport, { exports }), attach);
  });

  assert.equal(client.size, 1n << 20n);
  assert.deepEqual(await client.read(254n, 4), Uint8Array.of(254, 255, 0, 1));
  await client.close();
});
