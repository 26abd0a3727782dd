import { Command, ExtentFlag } from '@nbd/protocol';
import { connect, type NbdClient } from '@nbd/client';
import { connectRaw, type Server } from '../harness/index.js';
import { Random } from '../../packages/nbd-server/test/fuzz/random.js';

/** Requests of one connection at once, each about a part of the slot that is its own. */
const LANES = 8;

/** A part of the disk that one connection at a time uses, and what must be there. */
export interface Slot {
  /** Bytes from the start of the disk. */
  readonly start: bigint;
  readonly model: Uint8Array;
}

/** Where the clients find the server, and the pre-shared key that some of them use. */
export interface Served {
  readonly server: Server;
  readonly keys: string;
}

/**
 * One connection, from its handshake to one of the ends that connections come to.
 * @returns how many requests were answered
 * @throws Error if the slot does not hold what it must
 */
export async function visit(served: Served, slot: Slot, random: Random): Promise<number> {
  if (random.oneIn(10)) return leaveInHandshake(served);
  const client = await connect(
    { path: served.server.socket },
    {
      structuredReplies: !random.oneIn(4),
      extendedHeaders: random.oneIn(2),
      connectTimeout: 0,
      ...(random.oneIn(10) && { tls: 'require', tlsFiles: { psk: served.keys, username: 'soak' } }),
    },
  );
  let requests = 0;
  for (let rounds = random.upTo(20); rounds > 0; rounds--) {
    await Promise.all(
      Array.from({ length: LANES }, (_, lane) => operate(client, laneOf(slot, lane), random)),
    );
    requests += LANES;
  }
  if (random.oneIn(2)) await client.close();
  else await leaveInReads(client, slot);
  if (random.oneIn(4)) await leaveInWrite(served, slot, random);
  return requests;
}

function laneOf({ start, model }: Slot, lane: number): Slot {
  const length = model.length / LANES;
  return { start: start + BigInt(lane * length), model: model.subarray(lane * length, (lane + 1) * length) };
}

async function operate(client: NbdClient, { start, model }: Slot, random: Random): Promise<void> {
  const from = random.below(model.length);
  const length = random.upTo(model.length - from);
  const [offset, size] = [start + BigInt(from), BigInt(length)];
  const part = model.subarray(from, from + length);
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const data = content(random, length);
      await client.write(offset, data, { fua: random.oneIn(50) });
      part.set(data);
      return;
    }
    case 4:
      await client.zero!(offset, size, { noHole: random.oneIn(2) });
      part.fill(0);
      return;
    case 5: {
      await client.trim!(offset, size);
      // Of this disk, what was there or zeroes.
      const after = await client.read(offset, length);
      expectThat(
        after.every((byte, i) => byte === 0 || byte === part[i]),
        'read after a trim',
        offset,
      );
      part.set(after);
      return;
    }
    case 6:
      await checkExtents(client, offset, part);
      return;
    case 7:
      if (random.oneIn(10)) await client.flush!();
      return;
    default:
      expectThat(Buffer.compare(await client.read(offset, length), part) === 0, 'read', offset);
  }
}

async function checkExtents(client: NbdClient, offset: bigint, part: Uint8Array): Promise<void> {
  let at = 0;
  let isRight = true as boolean;
  const add = (length: bigint, flags: number) => {
    const end = Number(BigInt(at) + length < part.length ? BigInt(at) + length : part.length);
    if ((flags & ExtentFlag.ZERO) !== 0 && !part.subarray(at, end).every((byte) => byte === 0))
      isRight = false;
    at = end;
    return at < part.length;
  };
  await client.extents(offset, BigInt(part.length), { add });
  expectThat(isRight && at > 0, 'extents', offset);
}

/** Has reads under way when its socket closes. */
async function leaveInReads(client: NbdClient, { start, model }: Slot): Promise<void> {
  const reads = Array.from({ length: LANES }, () => client.read(start, model.length));
  client.destroy();
  await Promise.allSettled(reads);
  await client.close().catch(() => undefined);
}

/** Sends a part of a write's payload: nothing of it may be written. */
async function leaveInWrite({ server }: Served, { start, model }: Slot, random: Random): Promise<void> {
  using connection = await connectRaw(server);
  await connection.client.go();
  const payload = content(random, random.below(model.length / 2));
  connection.client.request({
    command: Command.WRITE,
    offset: start,
    length: BigInt(payload.length + 1 + random.below(model.length - payload.length)),
    payload,
  });
  await new Promise((resolve) => setImmediate(resolve));
}

async function leaveInHandshake({ server }: Served): Promise<number> {
  using connection = await connectRaw(server);
  await connection.client.greet();
  return 0;
}

const BYTES = new Random(1).bytes(128 << 10);

function content(random: Random, length: number): Uint8Array {
  if (random.oneIn(4)) return new Uint8Array(length);
  const from = random.below(BYTES.length - length);
  return BYTES.subarray(from, from + length);
}

function expectThat(isRight: boolean, what: string, offset: bigint): void {
  if (!isRight) throw new Error(`${what} at ${offset} is wrong`);
}
