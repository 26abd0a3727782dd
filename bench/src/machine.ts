import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { has, run, type Peer } from '../../interop/harness/index.js';

/** What figures depend on: those of different machines, or versions, are not compared. */
export interface Machine {
  readonly processor: string;
  readonly kernel: string;
  readonly node: string;
  readonly peers: readonly string[];
}

const PEERS: readonly Peer[] = ['nbdkit', 'nbdcopy', 'qemu-nbd', 'fio'];

export async function describeMachine(): Promise<Machine> {
  const peers = await Promise.all(PEERS.filter((peer) => has(peer)).map(versionOf));
  const memory = Math.round(totalmem() / 2 ** 30);
  return {
    processor: `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}, ${memory} GiB`,
    kernel: `Linux ${release()}`,
    node: process.version,
    peers: [...peers, '@vates/nbd-client 3.6.0'],
  };
}

async function versionOf(peer: Peer): Promise<string> {
  const { stdout } = await run(peer, ['--version']);
  return `${peer} ${/\d+(\.\d+)+/.exec(stdout)?.[0] ?? 'unknown'}`;
}
