import { run, serve, temporaryDirectory, type Server } from '../../interop/harness/index.js';
import type { Scope } from './scope.js';
import { timed, type Work } from './servers.js';

/** nbdcopy reads all of the disk, of `size` bytes: bytes a second. */
export function readAll(size: number): Work {
  return {
    needs: ['nbdcopy'],
    run: async ({ uri }) => size / (await timed(() => run('nbdcopy', [uri, 'null:']))),
  };
}

/** The same, of a disk that is filled first. */
export function fillAndReadAll(size: number): Work {
  return { ...readAll(size), first: fill(size) };
}

/** nbdcopy writes `size` bytes over what is there: bytes a second. */
export function writeAll(size: number): Work {
  return {
    needs: ['nbdcopy'],
    first: fill(size),
    run: async ({ uri }, scope) => {
      const { path } = await scope.share(dense(size));
      return size / (await timed(() => run('nbdcopy', [path, uri])));
    },
  };
}

/** fio's requests of 4 KiB at random places of a disk of `size` bytes, for a second: requests a second. */
export function randomIo(
  kind: 'randread' | 'randwrite',
  options: { readonly size: number; readonly depth: number; readonly connections: number },
): Work {
  const { size, depth, connections } = options;
  return {
    needs: ['fio', 'nbdcopy'],
    first: fill(size),
    async run({ uri }) {
      const { stdout } = await run('fio', [
        ...['--name=bench', '--ioengine=nbd', `--uri=${uri}`, `--rw=${kind}`, '--bs=4k', `--size=${size}`],
        ...[`--iodepth=${depth}`, `--numjobs=${connections}`, '--group_reporting', '--randrepeat=1'],
        ...['--time_based', '--runtime=1', '--output-format=json'],
      ]);
      // It says in front of its report where it connects to.
      const json = stdout.slice(stdout.indexOf('\n{'));
      const report = JSON.parse(json) as { jobs: [{ read: Direction; write: Direction }] };
      const [{ read, write }] = report.jobs;
      return kind === 'randread' ? read.iops : write.iops;
    },
  };
}

interface Direction {
  readonly iops: number;
}

/** Writes something other than zeroes to all of a disk: what was never written is faster to serve. */
export function fill(size: number) {
  return async ({ uri }: Server) => {
    await using source = await serveDense(size);
    await run('nbdcopy', [source.uri, uri]);
  };
}

const files = new Map<number, (scope: Scope) => Promise<{ readonly path: string }>>();

/** A file of `size` bytes without a hole, in memory: what a disk of the machine can do is not measured here. */
export function dense(size: number): (scope: Scope) => Promise<{ readonly path: string }> {
  const known = files.get(size);
  if (known) return known;
  const make = async (scope: Scope) => {
    const directory = scope.use(await temporaryDirectory('/dev/shm'));
    const path = directory.file('dense.img');
    await using source = await serveDense(size);
    await run('nbdcopy', [source.uri, path]);
    return { path };
  };
  files.set(size, make);
  return make;
}

function serveDense(size: number): Promise<Server> {
  return serve(['plugin-sparse-random', `${size}`, 'percent=100', 'seed=1']);
}
