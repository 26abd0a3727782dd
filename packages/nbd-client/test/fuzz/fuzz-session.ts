import { isNbdError } from '@nbd/protocol';
import { Random } from '../../../nbd-server/test/fuzz/random.js';
import {
  describeExportOf,
  listExportsOf,
  openDisk,
  type Dial,
  type DiskOptions,
} from '../../src/session/index.js';
import { serveModel, type ModelOptions } from '../model-server.js';
import { ALL_FLAGS } from '../scripted-server.js';
import { Calls } from './calls.js';
import { freshDisk, SENTINEL } from './disk.js';
import { Line } from './line.js';

/** Turns of the event loop in which whatever is due has happened. */
const TURNS = 3000;

/** Turns without a word after which the server hangs up. */
const PATIENCE = 30;

/**
 * One session with a server that is honest (a third of them) or whose words are mutated, with connections that are cut
 * into any pieces.
 * @throws Error with what went wrong: a call that hangs, an error that is none of ours, data that nobody has sent
 */
export async function fuzzSession(seed: number): Promise<void> {
  const random = new Random(seed);
  const isHonest = random.oneIn(3);
  const disk = freshDisk();
  const served = servedIn(random);
  const lines: Line[] = [];
  const dial: Dial = (attach) => {
    const line = new Line(random, { mutates: !isHonest, sentinel: SENTINEL }, (server) =>
      serveModel(server, disk, served),
    );
    lines.push(line);
    line.client.attach(attach(line.client));
  };
  const calls = new Calls(random, isHonest);
  const over = random.oneIn(8) ? inquire(dial, random) : use(dial, random, calls);
  const outcome = over.then(
    () => undefined,
    (error: unknown) => error,
  );
  await converse(lines, calls, outcome, random);
  calls.check(lines.reduce((sum, line) => sum + line.sentinels, 0));
  const error = await outcome;
  if (error !== undefined && (isHonest || !isNbdError(error))) throw error as Error;
  const faults = [...lines.flatMap(({ client }) => client.faults), ...calls.faults];
  if (faults.length > 0) throw new Error(faults.join('; '));
}

function servedIn(random: Random): ModelOptions {
  const piece = random.pick([undefined, 512, 4096, 5000]);
  const extentsPerReply = random.pick([undefined, 1, 5]);
  const blockSize = random.pick([undefined, 1, 512, 4096]);
  return {
    flags: random.oneIn(8) ? 0 : ALL_FLAGS,
    structured: !random.oneIn(4),
    extended: random.oneIn(3),
    contexts: random.pick([['base:allocation'], ['base:allocation'], ['base:allocation', 'x:y'], []]),
    exports: [{ name: 'a', description: 'the first one' }, { name: 'b' }],
    ...(piece !== undefined && { piece }),
    ...(extentsPerReply !== undefined && { extentsPerReply }),
    ...(blockSize !== undefined && {
      blockSize: { minimum: blockSize, preferred: 4096, maximum: random.pick([4096, 65_536]) },
    }),
  };
}

async function inquire(dial: Dial, random: Random): Promise<void> {
  const options = { connectTimeout: 0 };
  await (random.oneIn(2) ? listExportsOf(dial, options) : describeExportOf(dial, options));
}

async function use(dial: Dial, random: Random, calls: Calls): Promise<void> {
  const options: DiskOptions = {
    connectTimeout: 0,
    connections: random.pick([1, 1, 2, 4]),
    window: random.pick([{}, { requests: 2 }, { bytes: 8192 }]),
    extendedHeaders: !random.oneIn(4),
    ...(random.oneIn(4) && { reconnect: { attempts: 2, delay: 0 } }),
  };
  const disk = await openDisk(dial, options);
  calls.make(disk);
  if (random.oneIn(2)) await calls.settled();
  calls.isClosing = true;
  if (random.oneIn(20)) disk.destroy();
  await disk.close();
  await calls.settled();
}

/** Carries words to and fro until all is over; a server with nothing more to say hangs up after a while. */
async function converse(lines: readonly Line[], calls: Calls, outcome: Promise<unknown>, random: Random) {
  const state = { isOver: false };
  void outcome.then(() => (state.isOver = true));
  for (let turns = 0, quiet = 0; !state.isOver; turns++) {
    if (turns > TURNS) throw new Error('it does not end');
    let moved = false;
    for (const line of lines) moved = line.step() || moved;
    if (random.oneIn(10)) calls.abortOne();
    quiet = moved ? 0 : quiet + 1;
    if (quiet > PATIENCE) {
      for (const line of lines) line.hangUp();
      // What is to be tried again is tried again by the clock.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
