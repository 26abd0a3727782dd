import { Command } from '@nbd/protocol';
import { Exports, ServerSession } from '../../src/session/index.js';
import { encodeCompact, encodeExtended } from '../raw/raw-client.js';
import { checkFraming } from './check-framing.js';
import { checkReplies } from './check-replies.js';
import { honestConversation } from './conversation.js';
import { fuzzPlugin, type Mood, type Seen } from './disk.js';
import { FuzzTransport } from './fuzz-transport.js';
import { concatenate } from './mutate-bytes.js';
import { mutated } from './mutations.js';
import { Random } from './random.js';

/** Turns of the event loop in which whatever is due has happened. */
const TURNS = 2000;

const LOW_LIMITS = { payload: 1 << 20, bytes: 2 << 20, requests: 16 };

/**
 * One session of a client that is honest (a third of them) or that says an honest conversation with mutations, cut
 * into any pieces, to a device in any mood.
 * @throws Error with what went wrong: a hang, an answer that is wrong, a call that the device must not see
 */
export async function fuzzSession(seed: number): Promise<void> {
  const random = new Random(seed);
  const isHonest = random.oneIn(3);
  const conversation = honestConversation(random);
  const stream = isHonest
    ? concatenate(conversation.messages.map(({ bytes }) => bytes))
    : mutated(random, conversation.messages);
  const mood: Mood = {
    later: random.pick([0, 0, 1, 3]),
    failing: isHonest ? random.pick([0, 0, 20]) : random.pick([0, 5]),
    stuck: !isHonest && random.oneIn(100),
    block: random.pick([1, 1, 1, 512, 4096]),
    anyData: !isHonest,
  };
  const seen: Seen = { opened: 0, closed: 0, faults: [] };
  const transport = new FuzzTransport(random);
  let isOver = false;
  const session = new ServerSession(transport, {
    exports: new Exports(fuzzPlugin(random, mood, seen), { readOnly: !isHonest && random.oneIn(5) }),
    limits: { ...(!random.oneIn(10) && LOW_LIMITS), ...(mood.stuck && { graceTime: 1 }) },
    closed: () => {
      if (isOver) seen.faults.push('the session was over twice');
      isOver = true;
    },
  });
  transport.attach(session);

  await converse(transport, stream, random);
  if (random.oneIn(20)) session.shutdown();
  else if (isHonest) {
    await settle(transport);
    // All is answered before the client says goodbye.
    const output = concatenate(transport.output);
    const wasCut = mood.failing > 0 && transport.isClosed;
    if (!wasCut) checkReplies(conversation, mood, output);
    if (conversation.begins && !transport.isClosed) {
      const goodbye = { command: Command.DISC };
      await converse(
        transport,
        conversation.style === 'extended' ? encodeExtended(goodbye) : encodeCompact(goodbye),
        random,
      );
    }
  }
  await hangUp(transport, random, () => isOver);
  if (transport.output.length > 0) checkFraming(concatenate(transport.output));
  if (seen.closed !== seen.opened) seen.faults.push(`${seen.opened} devices opened, ${seen.closed} closed`);
  const faults = [...transport.faults, ...seen.faults];
  if (faults.length > 0) throw new Error(faults.join('; '));
}

/** Says it all, as far as the server listens, and reads now and then. */
async function converse(transport: FuzzTransport, stream: Uint8Array, random: Random): Promise<void> {
  for (let at = 0, turns = 0; at < stream.length && !transport.isClosed;) {
    if (!transport.isPaused) at += transport.say(stream.subarray(at));
    else if (++turns > TURNS) return;
    if (transport.isPaused || random.oneIn(3)) transport.read();
    if (transport.isPaused || random.oneIn(8)) await turn();
  }
}

/** Reads until the server has nothing more to say. */
async function settle(transport: FuzzTransport): Promise<void> {
  for (let quiet = 0; quiet < 12 && !transport.isClosed; quiet++) {
    if (transport.queuedBytes > 0) quiet = 0;
    transport.read();
    await turn();
  }
}

async function hangUp(transport: FuzzTransport, random: Random, isOver: () => boolean): Promise<void> {
  transport.close(random.oneIn(2) ? new Error('connection reset') : undefined);
  for (let turns = 0; !isOver(); turns++) {
    if (turns > TURNS) throw new Error('the session does not end');
    await turn();
    // Beyond the grace time for what a plugin never answers.
    if (turns > 50) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
