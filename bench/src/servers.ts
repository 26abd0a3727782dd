import { serve, serveNbdkit, serveQemuNbd, type Peer, type Server } from '../../interop/harness/index.js';
import type { Case, Contender, Run } from './case.js';
import type { Scope } from './scope.js';

/** The words of a command line, or what makes them together with the files that they name. */
export type Words = readonly string[] | ((scope: Scope) => Promise<readonly string[]>);

/** What a client does with a server. */
export interface Work {
  /** The programs that do it. */
  readonly needs: readonly Peer[];
  /** Done once, before the first run, with each server. */
  readonly first?: (server: Server, scope: Scope) => Promise<void>;
  readonly run: (server: Server, scope: Scope) => Promise<Run | number>;
}

export interface ServerCase extends Omit<Case, 'contenders'>, Work {
  /** What follows `nbd-serve`, `nbdkit` and `qemu-nbd` on the command line. */
  readonly ours: Words;
  readonly nbdkit?: Words;
  readonly qemuNbd?: Words;
}

/** A case in which the servers are measured: the same client works with ours and with others that serve the same. */
export function servers(each: ServerCase): Case {
  const { name, what, unit, target, ours, nbdkit, qemuNbd } = each;
  const contenders = [server('nbd-serve', [], serve, ours, each)];
  if (nbdkit) contenders.push(server('nbdkit', ['nbdkit'], serveNbdkit, nbdkit, each));
  if (qemuNbd) contenders.push(server('qemu-nbd', ['qemu-nbd'], serveQemuNbd, qemuNbd, each));
  return { name, what, unit, ...(target !== undefined && { target }), contenders };
}

function server(
  name: string,
  needs: readonly Peer[],
  start: (words: readonly string[]) => Promise<Server>,
  words: Words,
  work: Work,
): Contender {
  return {
    name,
    needs: [...needs, ...work.needs],
    async prepare(scope) {
      const started = scope.use(await start(await wordsFor(words, scope)));
      await work.first?.(started, scope);
      return { server: started, run: () => work.run(started, scope) };
    },
  };
}

export async function wordsFor(words: Words, scope: Scope): Promise<readonly string[]> {
  return typeof words === 'function' ? words(scope) : words;
}

/** Seconds that it takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
