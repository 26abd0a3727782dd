import { Option, OptionReply } from '@nbd/protocol';
import type { Connection } from '@nbd/plugin';
import { expect, test } from 'vitest';
import { serveWithKeys } from './raw/serve-keys.js';
import { memoryDisk } from './raw/serve-raw.js';

test('a plugin learns who the client is once TLS has told, for its list and its disks', async () => {
  const seen: Connection['tls'][] = [];
  const connect = await serveWithKeys({
    name: 'x',
    exports({ tls }) {
      seen.push(tls);
      return [{ name: '' }];
    },
    open({ tls }) {
      seen.push(tls);
      return memoryDisk(512);
    },
  });
  const { client, startTls } = connect();
  await client.greet();
  await client.option(Option.LIST);
  expect(seen).toEqual([undefined]);
  expect(await client.outcome(Option.STARTTLS)).toBe(OptionReply.ACK);
  await startTls();
  await client.option(Option.LIST);
  await client.info(Option.GO);
  const alice = { pskIdentity: 'alice' };
  expect(seen).toEqual([undefined, alice, alice, alice]);
});
