import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { connect } from '@nbd/client';
import { preSharedKeys, serve, temporaryDirectory, type Server } from '../harness/index.js';
import { Random } from '../../packages/nbd-server/test/fuzz/random.js';
import { visit, type Served, type Slot } from './visit.js';

/** Bytes of the disk for each connection. */
const SLOT = 256 << 10;

export interface SoakOptions {
  /** At once. */
  readonly connections: number;
  readonly seed: number;
  /** Asked before each visit; told how many there were. */
  readonly goesOn: (visits: number) => boolean;
  /** Milliseconds between two looks at the server; 1 000 unless told otherwise. */
  readonly interval?: number;
  readonly report?: (state: SoakState) => void;
}

/** What the server's process holds, and what it has done. */
export interface SoakState {
  readonly visits: number;
  readonly requests: number;
  /** Bytes in memory. */
  readonly rss: number;
  readonly descriptors: number;
}

export interface SoakResult {
  readonly visits: number;
  readonly requests: number;
  /** File descriptors of the server before the first connection, and after the last, but for the pipes that it keeps. */
  readonly descriptors: readonly [before: number, after: number];
  /** Bytes in memory at each look. */
  readonly rss: readonly number[];
}

/**
 * Lets connections come and go on an `nbd-serve` with a file, each with a part of the disk whose content is known, and
 * looks at the server meanwhile.
 * @throws Error that names the seed, if anything is read that was not written, or the server says or does what it
 *   should not
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { connections, seed, interval = 1000 } = options;
  await using directory = await temporaryDirectory();
  const disk = directory.file('disk.img');
  await writeFile(disk, '');
  await truncate(disk, connections * SLOT);
  await using keys = await preSharedKeys('soak');
  await using server = await serve([
    ...['--tls=on', '--tls-psk', keys.file, 'plugin-file', disk],
    // Two hundred connections of two busy processes may take longer than one client should.
    ...['--limit', 'handshake-time=0'],
  ]);
  const saidAtStart = server.stderr();
  const served: Served = { server, keys: keys.file };
  const slots = Array.from({ length: connections }, (_, i) => ({
    start: BigInt(i * SLOT),
    model: new Uint8Array(SLOT),
  }));
  const { pipes } = look(server.pid);
  const before = descriptorsOf(server, pipes);
  const counts = { visits: 0, requests: 0 };
  const rss: number[] = [];
  const done = new AbortController();
  const looking = every(interval, done.signal, () => {
    rss.push(memoryOf(server));
    options.report?.({ ...counts, rss: rss.at(-1)!, descriptors: descriptorsOf(server, pipes) });
  });
  const occupy = async (slot: Slot, i: number) => {
    const random = new Random(seed + i);
    while (!done.signal.aborted && options.goesOn(counts.visits)) {
      counts.visits++;
      const requests = await visit(served, slot, random);
      counts.requests += requests;
    }
  };
  try {
    await Promise.all(slots.map(occupy));
    await checkWhole(server, slots);
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${server.stderr()}`, { cause: error });
  } finally {
    done.abort();
    await looking;
  }
  if (server.stderr() !== saidAtStart) throw new Error(`seed ${seed}: the server said ${server.stderr()}`);
  return { ...counts, descriptors: [before, await settledDescriptors(server, before, pipes)], rss };
}

async function checkWhole(server: Server, slots: readonly Slot[]): Promise<void> {
  await using client = await connect(server.uri);
  for (const { start, model } of slots) {
    if (Buffer.compare(await client.read(start, model.length), model) !== 0)
      throw new Error(`the disk is wrong at ${start} in the end`);
  }
}

async function every(interval: number, signal: AbortSignal, look: () => void): Promise<void> {
  while (!signal.aborted) {
    look();
    await wait(interval, undefined, { signal }).catch(() => undefined);
  }
}

/** How many are open once no more are than there should be, or 10 s later: the server learns of each end on its own. */
async function settledDescriptors(server: Server, expected: number, pipes: number): Promise<number> {
  for (let i = 0; i < 100 && descriptorsOf(server, pipes) > expected; i++) await wait(100);
  return descriptorsOf(server, pipes);
}

/** Pipes through which it sends files, at most, that the server keeps for the next who reads. */
const KEPT_PIPES = 4;

/** How many are open; of pipes of which the server has both ends, those beyond what there may be. */
function descriptorsOf({ pid }: Server, pipesBefore: number): number {
  const { open, pipes } = look(pid);
  return open - 2 * Math.min(pipes, pipesBefore + KEPT_PIPES);
}

function look(pid: number): { readonly open: number; readonly pipes: number } {
  const directory = `/proc/${pid}/fd`;
  const names = readdirSync(directory).flatMap((fd) => nameOf(`${directory}/${fd}`) ?? []);
  const ends = names.filter((name) => name.startsWith('pipe:'));
  return { open: names.length, pipes: ends.length - new Set(ends).size };
}

function nameOf(descriptor: string): string | undefined {
  try {
    return readlinkSync(descriptor);
  } catch {
    return undefined; // it was closed meanwhile
  }
}

function memoryOf({ pid }: Server): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kibibytes) << 10;
}
