import { once } from 'node:events';
import { connect } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import {
  ClientFlag,
  Command,
  encodeClientFlags,
  encodeExportNameReply,
  encodeGreeting,
  encodeOption,
  HandshakeFlag,
  Option,
  SIMPLE_REPLY_SIZE,
  type BlockDevice,
} from '@nbd/protocol';
import { expect, test } from 'vitest';
import { createServer } from '../src/index.js';
import { encodeCompact } from './raw/raw-client.js';
import { memoryDisk, serveRaw, turns } from './raw/serve-raw.js';
import { serveOnSocket } from './raw/serve-socket.js';

// Protocol document, NBD_CMD_DISC: "The server MUST handle all outstanding requests".

/** All that a client says who waits for nothing. */
function conversation(...requests: readonly Uint8Array[]): Buffer {
  const flags = encodeClientFlags(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES);
  return Buffer.concat([flags, encodeOption(Option.EXPORT_NAME), ...requests]);
}

const DISC = encodeCompact({ command: Command.DISC });

/** Bytes that come before the first reply. */
const HANDSHAKE_SIZE =
  encodeGreeting({ style: 'newstyle', flags: HandshakeFlag.FIXED_NEWSTYLE }).length +
  encodeExportNameReply({ size: 1n, flags: 0 }, false).length;

/** A disk whose writes take a turn. */
function slowDisk() {
  const disk = memoryDisk(1 << 16);
  const device: BlockDevice = {
    ...disk,
    async write(offset, from) {
      const copy = from.slice();
      await turns(1);
      disk.bytes.set(copy, Number(offset));
    },
    async read(offset, into) {
      await turns(1);
      await disk.read(offset, into);
    },
  };
  return { device, bytes: disk.bytes };
}

const write = (place: number) =>
  Buffer.concat([
    encodeCompact({ command: Command.WRITE, offset: BigInt(100 * place), length: 100n }),
    new Uint8Array(100).fill(place),
  ]);

const LIMITS = { requests: 2 };

test('all that came before a DISC is carried out, though the client is gone by then', async () => {
  const { device, bytes } = slowDisk();
  const { client, closed } = serveRaw(device, { limits: LIMITS });
  await client.greet();
  client.send(encodeOption(Option.EXPORT_NAME), ...Array.from({ length: 100 }, (_, i) => write(i + 1)), DISC);
  await turns(2);
  client.hangUp();
  await closed;
  for (let place = 1; place <= 100; place++) expect(bytes[100 * place]).toBe(place);
});

test('a client that ends its side after a DISC gets all replies', async () => {
  const { device } = slowDisk();
  const server = createServer({ device, limits: LIMITS });
  const input = new PassThrough();
  let length = 0;
  const output = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      length += chunk.length;
      done();
    },
  });
  const read = encodeCompact({ command: Command.READ, length: 1000n });
  input.end(conversation(...Array.from({ length: 300 }, () => read), DISC));
  await Promise.all([server.serve(input, output), once(output, 'finish')]);
  expect(length).toBe(HANDSHAKE_SIZE + 300 * (SIMPLE_REPLY_SIZE + 1000));
  await server.close();
});

test('a client that ends without a DISC is given up, whatever it has asked for before', async () => {
  let calls = 0;
  const device = {
    ...memoryDisk(1 << 16),
    async trim() {
      calls++;
      await turns(1);
    },
  };
  const { connectTo, server } = await serve(device);
  const trim = encodeCompact({ command: Command.TRIM, length: 1n });
  connectTo().end(conversation(...Array.from({ length: 300 }, () => trim)));
  await once(server, 'disconnection');
  expect(calls).toBeLessThanOrEqual(300);
});

test('a device that never answers is not waited for beyond the grace time', async () => {
  const device = { ...memoryDisk(1 << 16), read: () => new Promise<void>(() => undefined) };
  const { connectTo, server } = await serve(device, { ...LIMITS, graceTime: 20 });
  const read = encodeCompact({ command: Command.READ, length: 1n });
  connectTo().end(conversation(...Array.from({ length: 30 }, () => read), DISC));
  await once(server, 'disconnection');
});

async function serve(device: BlockDevice, limits: { requests: number; graceTime?: number } = LIMITS) {
  const { server } = await serveOnSocket(device, { limits });
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  const port = typeof address === 'object' ? address.port : 0;
  return { server, connectTo: () => connect({ port, host: '127.0.0.1', allowHalfOpen: true }) };
}
