import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, type NbdClient } from '@nbd/client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  NBD_SERVE,
  nbdCopy,
  preSharedKeys,
  run,
  serve,
  temporaryDirectory,
  type TemporaryDirectory,
} from '../harness/index.js';

const SIZE = 8 << 20;

/** Processes that a process has started. */
function twinsOf({ pid }: { readonly pid: number }): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

const isRunning = (pid: number) => existsSync(`/proc/${pid}/exe`);

describe.skipIf(process.platform !== 'linux')('nbd-serve --threads', () => {
  let directory: TemporaryDirectory;
  let disk: string;
  let content: Buffer;
  beforeEach(async () => {
    directory = await temporaryDirectory();
    disk = directory.file('disk.img');
    content = randomBytes(SIZE);
    await writeFile(disk, content);
  });
  afterEach(async () => {
    await directory[Symbol.asyncDispose]();
  });

  const inTwo = (...words: readonly string[]) => serve(['--threads=2', ...words]);

  /** Which of these clients still have their server. */
  async function served(clients: readonly NbdClient[]): Promise<boolean[]> {
    const reads = await Promise.allSettled(clients.map((client) => client.read(0n, 512)));
    return reads.map(({ status }) => status === 'fulfilled');
  }

  async function clientsOf({ uri }: { readonly uri: string }, count: number): Promise<NbdClient[]> {
    const clients: NbdClient[] = [];
    // One after the other, so that each finds the last one counted.
    for (let i = 0; i < count; i++) clients.push(await connect(uri));
    return clients;
  }

  test('what one process is told to write, the other reads, and the file has', async () => {
    await using server = await inTwo('plugin-file', disk);
    const [one, other] = await clientsOf(server, 2);
    await one!.write(4096n, Buffer.from('written'));
    expect(Buffer.from(await other!.read(4096n, 7)).toString()).toBe('written');
    await other!.zero!(4096n, 4n);
    await other!.flush!();
    expect(Buffer.from(await one!.read(4096n, 7)).toString()).toBe('\0\0\0\0ten');
    expect((await readFile(disk)).subarray(4096, 4103).toString()).toBe('\0\0\0\0ten');
    await Promise.all([one!.close(), other!.close()]);
  });

  test('a copy with several connections arrives whole', async () => {
    const [source, copied] = [directory.file('source.img'), directory.file('copied.img')];
    await writeFile(source, randomBytes(SIZE));
    await using server = await inTwo('plugin-file', disk);
    for (const words of [
      [source, server.uri],
      [server.uri, copied],
    ]) {
      expect((await nbdCopy(['--connections=4', ...words])).code).toBe(0);
    }
    expect((await readFile(disk)).equals(await readFile(source))).toBe(true);
    expect((await readFile(copied)).equals(await readFile(source))).toBe(true);
  });

  test('connections are shared out evenly, and the loss of one process costs its own alone', async () => {
    await using server = await inTwo('plugin-file', disk);
    const [twin] = twinsOf(server);
    const clients = await clientsOf(server, 4);
    process.kill(twin!, 'SIGKILL');
    await server.said(/a process with 2 of the connections has ended \(SIGKILL\); the others go on/);
    expect((await served(clients)).sort()).toEqual([false, false, true, true]);

    const others = await clientsOf(server, 3);
    expect(await served(others)).toEqual([true, true, true]);
    for (const client of [...clients, ...others]) client.destroy();
  });

  test('who was on the way to a process that ends is not left waiting', async () => {
    await using server = await inTwo('plugin-file', disk);
    const [twin] = twinsOf(server);
    const [first] = await clientsOf(server, 1);
    process.kill(twin!, 'SIGSTOP');
    const connecting = Array.from({ length: 4 }, () => connect(server.uri));
    // Two of them are with the process that answers.
    await Promise.any(connecting);
    process.kill(twin!, 'SIGKILL');
    const outcomes = await Promise.allSettled(connecting);
    expect(outcomes.map(({ status }) => status).sort()).toEqual([
      ...['fulfilled', 'fulfilled'],
      ...['rejected', 'rejected'],
    ]);
    expect(await served([first!])).toEqual([true]);
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') outcome.value.destroy();
    first!.destroy();
    server.signal('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0 });
    expect(existsSync(server.pidFile)).toBe(false);
  });

  test('all end at SIGTERM, once what is under way is done', async () => {
    await using server = await inTwo('plugin-file', disk);
    const [twin] = twinsOf(server);
    const clients = await clientsOf(server, 4);
    const payload = randomBytes(1 << 20);
    const writes = clients.map((client, i) => client.write(BigInt(i << 20), payload));
    await Promise.all(writes.slice(0, 1));
    server.signal('SIGTERM');
    const written = await Promise.allSettled(writes);
    expect(await server.ended).toMatchObject({ code: 0 });
    expect(isRunning(twin!)).toBe(false);
    const now = await readFile(disk);
    for (const [i, { status }] of written.entries()) {
      if (status === 'rejected') continue;
      expect(now.subarray(i << 20, (i + 1) << 20).equals(payload), `write ${i}`).toBe(true);
    }
    for (const client of clients) client.destroy();
  });

  test('one that does not answer any more is ended', async () => {
    await using server = await inTwo('--limit=grace-time=1', 'plugin-file', disk);
    const [twin] = twinsOf(server);
    process.kill(twin!, 'SIGSTOP');
    server.signal('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0 });
    expect(isRunning(twin!)).toBe(false);
    expect(existsSync(server.pidFile)).toBe(false);
  });

  test('none outlives the first one', async () => {
    await using server = await inTwo('plugin-file', disk);
    const [twin] = twinsOf(server);
    const clients = await clientsOf(server, 2);
    server.signal('SIGKILL');
    await expect.poll(() => isRunning(twin!), { timeout: 10_000 }).toBe(false);
    expect(await served(clients)).toEqual([false, false]);
    for (const client of clients) client.destroy();
  });

  test('the terminal’s Ctrl-C, which all of them get, does not end a twin before its time', async () => {
    await using server = await inTwo('plugin-file', disk);
    const [twin] = twinsOf(server);
    const clients = await clientsOf(server, 2);
    process.kill(twin!, 'SIGINT');
    process.kill(twin!, 'SIGHUP');
    expect(await served(clients)).toEqual([true, true]);
    for (const client of clients) client.destroy();
  });

  test('the file stays locked for all of them, and is free afterwards', async () => {
    const server = await inTwo('plugin-file', disk);
    const again = run(process.execPath, [NBD_SERVE, '--unix', '-', '--run', 'true', 'plugin-file', disk]);
    await expect(again).rejects.toThrow('is in use by another program');
    await server.stop();
    await run(process.execPath, [NBD_SERVE, '--unix', '-', '--run', 'true', 'plugin-file', disk]);
  });

  test('limits count the connections of all', async () => {
    await using server = await inTwo('--limit=connections=3', 'plugin-file', disk);
    const clients = await clientsOf(server, 3);
    await expect(connect(server.uri)).rejects.toThrow();
    await clients.pop()!.close();
    await expect.poll(() => connect(server.uri).then((client) => clients.push(client))).toBe(3);
    for (const client of clients) client.destroy();
  });

  test('with keys, and read-only, as the command line has it', async () => {
    await using keys = await preSharedKeys('client');
    await using server = await inTwo('--readonly', '--tls-psk', keys.file, '-e', 'name', 'plugin-file', disk);
    const [path, socket] = ['name', encodeURIComponent(server.socket)];
    const uri = `nbds+unix://client@/${path}?socket=${socket}&tls-psk-file=${encodeURIComponent(keys.file)}`;
    for (let i = 0; i < 4; i++) {
      const client = await connect(uri, { allowUriFiles: true, connections: 1 });
      expect(client.terms.tls).toBeDefined();
      expect(client.info.readOnly).toBe(true);
      expect(Buffer.from(await client.read(0n, 512)).equals(content.subarray(0, 512))).toBe(true);
      if (i % 2 === 1) await client.close();
    }
  });

  test('plugin-sparse-random has the same disk in each, whose seed was drawn', async () => {
    await using server = await inTwo('plugin-sparse-random', '64M', 'percent=100', 'random-content=true');
    const [one, other] = await clientsOf(server, 2);
    const [here, there] = await Promise.all([one!.read(0n, SIZE), other!.read(0n, SIZE)]);
    expect(Buffer.from(here).equals(there)).toBe(true);
    expect(new Set(here).size).toBe(256);
    expect(server.stderr().match(/seed=/g)).toHaveLength(1);
    await Promise.all([one!.close(), other!.close()]);
  });

  test.each([
    [['plugin-memory', '1M'], 'plugin-memory is served by one process'],
    [['--filter=cow', 'plugin-sparse-random', '1M'], 'is served by one process'],
  ])('%j has one process, and says so', async (words, message) => {
    await using server = await inTwo(...words);
    expect(server.stderr()).toContain(message);
    expect(twinsOf(server)).toEqual([]);
  });

  test.each(['0', '65', 'two', '1.5'])('--threads=%s is refused', async (count) => {
    const words = [NBD_SERVE, `--threads=${count}`, 'plugin-memory', '1M'];
    const { code, stderr } = await run(process.execPath, words, { anyCode: true });
    expect(stderr).toBe(`nbd-serve: --threads ${count}: it is a number from 1 to 64\n`);
    expect(code).toBe(2);
  });
});
