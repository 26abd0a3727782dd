import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { connect, createReadStream, isNbdError, type NbdClient } from '@nbd/client';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  describeWith,
  NBD_SERVE,
  serve,
  serveNbdkit,
  serveQemuNbd,
  startServer,
  temporaryDirectory,
  type Server,
} from '../harness/index.js';

const MIB = 1 << 20;

/** Bytes that tell where they belong. */
function pattern(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2_654_435_761);
  return new Uint8Array(words.buffer);
}

describeWith(['nbdkit', 'qemu-nbd'], 'random operations on eight connections leave what a model has', () => {
  const SLICE = 256 << 10;
  const WORKERS = 8;

  /** One after the other on a slice of its own, while others work on theirs; each goes over any of the connections. */
  async function work(disk: NbdClient, slice: number, seed: number): Promise<void> {
    const start = BigInt(slice * SLICE);
    const model = new Uint8Array(SLICE);
    const range = fc
      .tuple(fc.nat(SLICE - 1), fc.constantFrom(1, 511, 4096, 5000, 70_000))
      .map(([at, length]) => [at, Math.min(length, SLICE - at)] as const);
    const what = fc.constantFrom('write', 'write', 'write with FUA', 'zero', 'trim', 'read', 'read', 'flush');
    const operations = fc.sample(fc.tuple(what, range, fc.integer({ min: 1, max: 255 })), {
      numRuns: 150,
      seed,
    });
    for (const [what, [at, length], byte] of operations) {
      const offset = start + BigInt(at);
      if (what.startsWith('write')) {
        model.fill(byte, at, at + length);
        await disk.write(offset, model.slice(at, at + length), { fua: what !== 'write' });
      } else if (what === 'zero') {
        model.fill(0, at, at + length);
        await disk.zero!(offset, BigInt(length));
      } else if (what === 'trim') {
        await disk.trim!(offset, BigInt(length));
        // It may read as anything afterwards.
        model.set(await disk.read(offset, length), at);
      } else if (what === 'flush') await disk.flush!();
      else {
        const found = await disk.read(offset, length);
        expect(Buffer.compare(found, model.subarray(at, at + length)), `${what} at ${offset}`).toBe(0);
      }
    }
    expect(Buffer.compare(await disk.read(start, SLICE), model)).toBe(0);
  }

  const size = SLICE * WORKERS;
  test.each<[string, () => Promise<Server>]>([
    ['nbd-serve', () => serve(['plugin-memory', String(size)])],
    ['nbdkit', () => serveNbdkit(['memory', String(size)])],
  ])('served by %s', async (_name, start) => {
    await using server = await start();
    await work8(server);
  });

  test('served by qemu-nbd', async () => {
    await using directory = await temporaryDirectory();
    const image = directory.file('disk.img');
    await writeFile(image, new Uint8Array(size));
    await using server = await serveQemuNbd(['--format=raw', '--discard=unmap', image]);
    await work8(server);
  });

  async function work8(server: Server): Promise<void> {
    await using disk = await connect(server.uri, { connections: 8 });
    expect(disk.connections).toBe(8);
    const seed = Date.now() >>> 0;
    const workers = Array.from({ length: WORKERS }, (_, i) => work(disk, i, seed + i));
    await Promise.all(workers).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});

describeWith(['nbdkit'], "nbdkit's filters", () => {
  test('error: a call that fails says why, and all others are right', async () => {
    await using server = await serveNbdkit([
      '--filter=error',
      'pattern',
      '4M',
      'error-rate=20%',
      'error=ENOSPC',
    ]);
    await using disk = await connect(server.uri, { connections: 4 });
    const reads = await Promise.allSettled(
      Array.from({ length: 400 }, (_, i) => disk.read(BigInt(i * 8192), 8192)),
    );
    const failures = reads.flatMap((read) => (read.status === 'rejected' ? [read.reason as unknown] : []));
    expect(failures.length).toBeGreaterThan(20);
    expect(failures.length).toBeLessThan(200);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'ENOSPC' });
    for (const [i, read] of reads.entries()) {
      if (read.status === 'rejected') continue;
      // The pattern plugin has at each multiple of eight that offset, in big endian.
      const right = Buffer.alloc(8192);
      for (let at = 0; at < 8192; at += 8) right.writeBigUInt64BE(BigInt(i * 8192 + at), at);
      expect(Buffer.compare(read.value, right)).toBe(0);
    }
  });

  test('delay: a stream waits for many answers at once, not for one after the other', async () => {
    // One after the other these take 128 seconds, which is more than a test may.
    await using server = await serveNbdkit(['--threads=64', '--filter=delay', 'pattern', '8M', 'rdelay=1']);
    await using disk = await connect(server.uri, { connections: 2 });
    const bytes = await buffer(createReadStream(disk, { chunkSize: 65_536 }));
    expect(bytes.length).toBe(8 * MIB);
    expect(bytes.readBigUInt64BE(bytes.length - 8)).toBe(BigInt(bytes.length - 8));
  });

  test('delay: a call that takes longer than its time limit fails, and the next one is right', async () => {
    await using server = await serveNbdkit(['--filter=delay', 'pattern', '1M', 'delay-read=300ms']);
    await using disk = await connect(server.uri);
    await expect(disk.read(0n, 8, { timeout: 10 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    expect(Buffer.from(await disk.read(4096n, 8)).readBigUInt64BE()).toBe(4096n);
  });

  test('exitwhen: a disk that is open is served to its end, and nobody else is let in', async () => {
    await using directory = await temporaryDirectory();
    const file = directory.file('exit');
    await using server = await serveNbdkit([
      '--filter=exitwhen',
      'memory',
      '1M',
      `exit-when-file-created=${file}`,
    ]);
    const disk = await connect(server.uri);
    await disk.write(0n, Uint8Array.of(1, 2, 3));
    await writeFile(file, '');
    const refusal = await refused(server.uri);
    expect(isNbdError(refusal)).toBe(true);
    expect(await disk.read(0n, 3)).toEqual(Uint8Array.of(1, 2, 3));
    await disk.close();
    expect((await server.ended).code).toBe(0);
    await expect(connect(server.uri)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  /** Connects until that fails, and gives the error. */
  async function refused(uri: string): Promise<unknown> {
    for (;;) {
      try {
        await (await connect(uri)).close();
      } catch (error) {
        return error;
      }
    }
  }
});

describeWith(['nbdkit'], 'a server that is killed in the middle of a transfer and started again', () => {
  const content = pattern(32 * MIB);

  describe.each<[string, string, string[]]>([
    ['nbd-serve', process.execPath, [NBD_SERVE, 'plugin-file']],
    ['nbdkit', 'nbdkit', ['--foreground', 'file']],
  ])('%s', (_name, program, words) => {
    test('a stream goes on where it was, with the right bytes', async () => {
      await using served = await restartable(program, words, content);
      await using disk = await connect(served.uri, {
        connections: 2,
        reconnect: { attempts: 1000, delay: 10 },
      });
      const stream = createReadStream(disk, { readahead: MIB });
      const chunks: Buffer[] = [];
      let restarts: Promise<void> | undefined;
      stream.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (chunks.length === 8 || chunks.length === 40) {
          stream.pause();
          restarts = served.restart();
          stream.resume();
        }
      });
      await once(stream, 'end');
      await restarts;
      expect(served.starts()).toBe(3);
      expect(Buffer.compare(Buffer.concat(chunks), content)).toBe(0);
    });

    test('a write is done, or fails with an error that says what is unknown', async () => {
      await using served = await restartable(program, words, content);
      await using disk = await connect(served.uri, { reconnect: { attempts: 1000, delay: 10 } });
      const piece = 256 << 10;
      const writes = Array.from({ length: 64 }, (_, i) =>
        disk.write(BigInt(i * piece), new Uint8Array(piece).fill(i + 1)).then(() => 'done' as const),
      );
      const settled = Promise.allSettled(writes);
      await writes[0];
      await served.restart();
      const outcomes = await settled;
      for (const [i, outcome] of outcomes.entries()) {
        const found = await disk.read(BigInt(i * piece), piece);
        if (outcome.status === 'fulfilled') expect(found.every((byte) => byte === i + 1)).toBe(true);
        else expect(outcome.reason).toMatchObject({ message: expect.stringMatching(/is unknown/) as string });
      }
      expect(outcomes[0]!.status).toBe('fulfilled');
    });
  });
});

interface Restartable extends AsyncDisposable {
  readonly uri: string;
  starts(): number;
  /** Kills it, and starts it again at the same place. */
  restart(): Promise<void>;
}

async function restartable(
  program: string,
  words: readonly string[],
  content: Uint8Array,
): Promise<Restartable> {
  const directory = await temporaryDirectory();
  const [image, socket] = [directory.file('disk.img'), directory.file('socket')];
  await writeFile(image, content);
  const start = () =>
    startServer(program, ({ pidFile }) => [
      ...words.slice(0, 1),
      ...['--unix', socket, '--pidfile', pidFile],
      ...words.slice(1),
      image,
    ]);
  let server = await start();
  let starts = 1;
  return {
    uri: `nbd+unix:///?socket=${socket}`,
    starts: () => starts,
    async restart() {
      server.signal('SIGKILL');
      await server.stop();
      await rm(socket, { force: true });
      server = await start();
      starts++;
    },
    async [Symbol.asyncDispose]() {
      await server.stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}
