import { readdirSync, readFileSync } from 'node:fs';
import { connect as connectNet } from 'node:net';
import {
  BASE_ALLOCATION,
  ClientFlag,
  Command,
  encodeClientFlags,
  encodeInfoRequest,
  encodeOption,
  Option,
} from '@nbd/protocol';
import { describe, expect, test } from 'vitest';
import {
  connectRaw,
  NBD_SERVE,
  serve,
  startServer,
  type RawClient,
  type RawConnection,
  type Server,
} from '../harness/index.js';
import { encodeCompact } from '../../packages/nbd-server/test/raw/raw-client.js';
import { ODD_PLUGIN } from './conformance/odd-server.js';

/** Memory of a process in bytes: what it has, and the most that it has had. */
function memoryOf({ pid }: { pid: number }): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [now, peak] = [/^VmRSS:\s+(\d+) kB$/m, /^VmHWM:\s+(\d+) kB$/m].map(
    (line) => Number(line.exec(status)![1]) * 1024,
  );
  return { now: now!, peak: peak! };
}

function descriptorsOf({ pid }: { pid: number }): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

async function expectService(server: Server, rounds = 1): Promise<void> {
  using connection = await connectRaw(server);
  const { client } = connection;
  await client.go();
  for (let i = 0; i < rounds; i++) {
    client.request({ command: Command.READ, length: 4096n });
    expect((await client.simpleReply(4096)).error).toBe(0);
  }
}

describe.skipIf(process.platform !== 'linux')('nbd-serve', () => {
  const MEBIBYTE = 1 << 20;
  const BYTES = 8 * MEBIBYTE;
  const name = 'checkered';

  /** What clients do that want memory, without taking what they have asked for. */
  const wants: readonly (readonly [string, (client: RawClient) => Promise<void>])[] = [
    [
      'reads',
      async (client) => {
        await client.go({ name });
        client.deaf = true;
        for (let i = 0; i < 5000; i++) client.request({ command: Command.READ, length: 1_000_000n });
      },
    ],
    [
      'small reads',
      async (client) => {
        await client.go({ name, structured: true });
        client.deaf = true;
        for (let i = 0; i < 20_000; i++) client.request({ command: Command.READ, length: 20_000n });
      },
    ],
    [
      'block status',
      async (client) => {
        await client.go({ name, extended: true, contexts: [BASE_ALLOCATION] });
        client.deaf = true;
        for (let i = 0; i < 5000; i++) {
          client.extendedRequest({ command: Command.BLOCK_STATUS, length: 64n << 20n });
        }
      },
    ],
    [
      'half a write',
      async (client) => {
        await client.go({ name });
        const payload = new Uint8Array(4 * MEBIBYTE);
        for (let i = 0; i < 20; i++) {
          client.request({ command: Command.WRITE, length: BigInt(payload.length), payload });
        }
        client.request({
          command: Command.WRITE,
          length: BigInt(payload.length),
          payload: payload.subarray(1),
        });
      },
    ],
    [
      'errors with messages',
      async (client) => {
        await client.go({ name, structured: true });
        client.deaf = true;
        for (let i = 0; i < 100_000; i++) client.request({ command: 4711, offset: 1n << 60n });
      },
    ],
    [
      'options',
      async (client) => {
        await client.greet();
        client.deaf = true;
        const info = encodeOption(Option.INFO, encodeInfoRequest({ name: 'n'.repeat(4000), infos: [] }));
        for (let i = 0; i < 4000; i++) client.send(info);
      },
    ],
  ];

  test('takes no more memory for greedy clients than docs/security.md states', async () => {
    await using server = await serve([ODD_PLUGIN, '--limit', 'bytes=8M']);
    await expectService(server);
    const atRest = memoryOf(server).peak;
    const connections: RawConnection[] = [];
    for (let i = 0; i < 3; i++) {
      for (const [, want] of wants) {
        const connection = await connectRaw(server);
        connections.push(connection);
        await want(connection.client);
      }
    }
    // Others are served all the while.
    await expectService(server, 500);
    const growth = memoryOf(server).peak - atRest;
    for (const connection of connections) connection[Symbol.dispose]();
    const bound = connections.length * (BYTES + 16 * MEBIBYTE);
    expect(growth / MEBIBYTE).toBeLessThan(bound / MEBIBYTE);
    await expectService(server);
  });

  test('gives memory back once those are gone who took it', async () => {
    await using server = await serve(['plugin-sparse-random', '1G']);
    // Of the first time some is given back in any case.
    for (let round = 0; round < 2; round++) {
      const connections: RawConnection[] = [];
      for (let i = 0; i < 400; i++) {
        const connection = await connectRaw(server);
        connections.push(connection);
        const { client } = connection;
        await client.go();
        client.deaf = true;
        for (let j = 0; j < 100; j++) client.request({ command: Command.READ, length: 1_000_000n });
      }
      await expect.poll(() => memoryOf(server).now / MEBIBYTE, { timeout: 20_000 }).toBeGreaterThan(350);
      for (const connection of connections) connection[Symbol.dispose]();
    }
    await expect.poll(() => memoryOf(server).now / MEBIBYTE, { timeout: 20_000 }).toBeLessThan(150);
    await expectService(server);
  }, 60_000);

  test('turns away whom it has no file descriptor for, and serves the others', async () => {
    const server = await startServer('sh', ({ socket, pidFile }) => [
      ...['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, NBD_SERVE],
      ...['--unix', socket, '--pidfile', pidFile, 'plugin-memory', '1M'],
    ]);
    await using _ = server;
    const place = { ...server, uri: '' };
    const connections: RawConnection[] = [];
    for (let i = 0; i < 100; i++) connections.push(await connectRaw(place));
    const outcomes = await Promise.allSettled(connections.map(({ client }) => client.read(18)));
    const served = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(served).toBeGreaterThan(20);
    expect(served).toBeLessThan(64);
    for (const connection of connections) connection[Symbol.dispose]();
    // Those who have gone make room, which takes the server a moment to see.
    while (descriptorsOf(server) > 40) await new Promise((resolve) => setImmediate(resolve));
    await expectService(place);
    expect(server.stderr().split('\n').length).toBeLessThan(5);
  });

  test('gives back everything of clients whose connections are reset', async () => {
    await using server = await serve(['plugin-memory', '64M'], { tcp: true });
    const port = Number(new URL(server.uri).port);
    const before = descriptorsOf(server);
    const begin = [
      encodeClientFlags(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES),
      encodeOption(Option.GO, encodeInfoRequest({ name: '', infos: [] })),
    ];
    const read = encodeCompact({ command: Command.READ, length: 1n << 20n });
    const endings = [
      [encodeCompact({ command: Command.WRITE, length: 1n << 20n }), new Uint8Array(1000)],
      Array.from({ length: 20 }, () => read),
      [read.subarray(0, 9)],
      [encodeCompact({ command: Command.FLUSH }), encodeCompact({ command: Command.DISC })],
    ];
    for (let i = 0; i < 80; i++) {
      const socket = connectNet(port, '127.0.0.1');
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        let received = 0;
        socket.on('data', ({ length }) => {
          // The greeting and the replies to GO: transmission has begun.
          if (received < 70 && received + length >= 70) {
            socket.write(Buffer.concat(endings[i % endings.length]!), () => {
              socket.off('error', reject).on('error', () => undefined);
              socket.resetAndDestroy();
              resolve();
            });
          }
          received += length;
        });
        socket.write(Buffer.concat(begin));
      });
    }
    while (descriptorsOf(server) > before) await new Promise((resolve) => setImmediate(resolve));
  });
});
