import { createConnection, createServer } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { describeWith, run, serve, temporaryDirectory } from '../harness/index.js';

/** A request's magic number, and the offset of the payload within a write request. */
const REQUEST_MAGIC = Buffer.from('25609513', 'hex');
const WRITE = 1;
const PAYLOAD = 28;

/**
 * Passes the bytes of a connection from client to server through, but flips the lowest bit of one byte: the one at
 * `place` in the payload of the first write that it finds.
 */
function corruptor(place: number): (bytes: Buffer) => void {
  /** Bytes until the one that is flipped; below 0 before it is known and after it is done. */
  let left = -1;
  let done = false;
  return (bytes) => {
    if (done) return;
    for (let at = bytes.indexOf(REQUEST_MAGIC); left < 0 && at !== -1;) {
      if (at + 8 <= bytes.length && bytes.readUInt16BE(at + 6) === WRITE) left = at + PAYLOAD + place;
      at = bytes.indexOf(REQUEST_MAGIC, at + 1);
    }
    if (left < 0) return;
    if (left < bytes.length) {
      bytes[left]! ^= 1;
      done = true;
    }
    left -= bytes.length;
  };
}

/** A Unix socket that leads to the server's, with one byte corrupted on the way. */
async function corruptingProxy(path: string, server: string, place: number) {
  const corrupt = corruptor(place);
  const proxy = createServer((client) => {
    const upstream = createConnection(server);
    client.on('data', (bytes: Buffer) => {
      corrupt(bytes);
      upstream.write(bytes);
    });
    upstream.pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    client.on('error', () => undefined);
    upstream.on('error', () => undefined);
  });
  proxy.listen(path);
  await once(proxy, 'listening');
  return {
    uri: `nbd+unix:///?socket=${path}`,
    async [Symbol.asyncDispose]() {
      proxy.close();
      await once(proxy, 'close');
    },
  };
}

describeWith(['nbdcopy', 'qemu-img'], 'one byte corrupted on the way to plugin-sparse-random', () => {
  const commands = [
    // On one connection, whose bytes the proxy counts.
    ['nbdcopy', (uri: string) => ['--connections=1', uri, uri]],
    ['qemu-img', (uri: string) => ['convert', '-n', '-f', 'raw', '-O', 'raw', uri, uri]],
  ] as const;

  test.each(
    commands.flatMap(([program, args]) =>
      ['true', 'false'].map((random) => [program, random, args] as const),
    ),
  )('makes %s fail, and the server says which (random-content=%s)', async (program, random, args) => {
    await using server = await serve(['plugin-sparse-random', '1G', 'seed=1', `random-content=${random}`]);
    await using directory = await temporaryDirectory();
    await using proxy = await corruptingProxy(directory.file('socket'), server.socket, 5000);
    const { code } = await run(program, args(proxy.uri), { anyCode: true });
    expect(code).not.toBe(0);
    const refused = server.stderr().match(/.*should be.*/g);
    expect(refused).toHaveLength(1);
    const [, offset, at, expected, got] =
      /plugin-sparse-random: write of \d+ bytes at offset (\d+): the byte at offset (\d+) should be 0x(..), but is 0x(..)$/.exec(
        refused![0],
      )!;
    expect(BigInt(at!) - BigInt(offset!)).toBe(5000n);
    expect(parseInt(expected!, 16) ^ parseInt(got!, 16)).toBe(1);
  });
});
