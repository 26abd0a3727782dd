import type { Case } from '../case.js';
import { dense, randomIo } from '../clients.js';
import { servers } from '../servers.js';

const SIZE = 256 << 20;
const TARGETS = new Map([
  [1, 0.7],
  [64, 1.4],
]);

const KINDS = ['randread', 'randwrite'] as const;

const MEMORY: readonly Case[] = KINDS.flatMap((kind) =>
  [1, 4].flatMap((connections) =>
    [1, 16, 64].map((depth) => {
      const target = TARGETS.get(depth);
      return servers({
        name: `${kind}-c${connections}-q${depth}`,
        what: `${kind} of 4 KiB, ${connections} connection${connections > 1 ? 's' : ''}, ${depth} deep`,
        unit: 'IOPS',
        ...(target !== undefined && { target }),
        ours: ['plugin-memory', `${SIZE}`],
        nbdkit: ['memory', `${SIZE}`],
        qemuNbd: async (scope) => ['--format=raw', (await scope.share(dense(SIZE))).path],
        ...randomIo(kind, { size: SIZE, depth, connections }),
      });
    }),
  ),
);

const FILE: readonly Case[] = KINDS.map((kind) =>
  servers({
    name: `${kind}-file`,
    what: `${kind} of 4 KiB in a file, 1 connection, 16 deep`,
    unit: 'IOPS',
    ours: async (scope) => ['plugin-file', 'lock=off', (await scope.share(dense(SIZE))).path],
    nbdkit: async (scope) => ['file', (await scope.share(dense(SIZE))).path],
    qemuNbd: async (scope) => ['--format=raw', (await scope.share(dense(SIZE))).path],
    ...randomIo(kind, { size: SIZE, depth: 16, connections: 1 }),
  }),
);

/** Requests of 4 KiB at random places, by fio with libnbd. */
export const RANDOM_IO: readonly Case[] = [...MEMORY, ...FILE];
