import type { Awaitable, BlockDevice } from '@nbd/protocol';
import { checkDescription } from './check-description.js';
import { checkExtents } from './check-extents.js';
import { checkConcurrentReads, checkReads } from './check-reads.js';
import { checkConcurrentWrites, checkModels, checkWrites, modelsOf } from './check-writes.js';
import type { Model } from './model.js';
import { Random } from './random.js';
import { settle } from './settle.js';
import { Subject } from './subject.js';

export interface CheckOptions {
  /** 32 bits that decide every choice. The message of a failure names them, to repeat it. Default: random. */
  readonly seed?: number;
  /** How many random requests of each kind. Default: 60. */
  readonly rounds?: number;
  /** Longest read or write, in bytes. Default: 32 768. */
  readonly maxLength?: number;
  /** Milliseconds that one call of the device may take. Default: 4000. */
  readonly timeout?: number;
}

/**
 * Checks that a device keeps the contract of `BlockDevice`: that reads, extents and holes agree with each other; that
 * what is written, zeroed and trimmed is where it belongs and nowhere else, at the edges of the device, with calls
 * one by one and many at once; that lent buffers are left alone afterwards; that it closes, and does not mind being
 * closed again.
 *
 * It writes all over a device that is writable, and closes it. Given a function, it opens the device more than once:
 * at the same time if the device says `multiConn`, else one after the other.
 *
 * ```ts
 * test('keeps the contract of a device', async () => {
 *   const plugin = await ruler.fromArguments(['1M']);
 *   await checkDevice(() => plugin.open({ exportName: '', readOnly: false }));
 * });
 * ```
 *
 * @throws Error that says what is wrong, where on the device, and with which seed to repeat it.
 */
export async function checkDevice(
  device: BlockDevice | (() => Awaitable<BlockDevice>),
  options: CheckOptions = {},
): Promise<void> {
  const {
    seed = Math.floor(Math.random() * 2 ** 32),
    rounds = 60,
    maxLength = 32_768,
    timeout = 4000,
  } = options;
  const random = new Random(seed);
  const opened = new Set<BlockDevice>();
  const open = async () => {
    let next = device;
    if (typeof next === 'function') next = await opening(next, timeout);
    opened.add(next);
    checkDescription(next);
    return new Subject(next, random, { maxLength, timeout });
  };
  const close = async (subject: Subject) => {
    opened.delete(subject.device);
    await checkClose(subject);
  };
  try {
    const opensAgain = typeof device === 'function';
    await check({ open, close, opensAgain, rounds, windowLength: 2 * maxLength });
  } catch (error) {
    for (const left of opened) await settle('close', timeout, () => left.close?.()).catch(() => undefined);
    const { message, cause } = error instanceof Error ? error : new Error(String(error));
    throw new Error(`checkDevice: ${message} (repeat with seed: ${seed})`, { cause: cause ?? error });
  }
}

interface Check {
  readonly open: () => Promise<Subject>;
  readonly close: (subject: Subject) => Promise<void>;
  /** Whether `open` opens another device each time. */
  readonly opensAgain: boolean;
  readonly rounds: number;
  /** Bytes of each part that is written to. */
  readonly windowLength: number;
}

async function check({ open, close, opensAgain, rounds, windowLength }: Check): Promise<void> {
  const subject = await open();
  const { device, ranges } = subject;
  const description = describe(device);
  const batches = Math.ceil(rounds / 8);
  let models: Model[] = [];
  if (ranges.end > 0n) {
    await checkReads(subject, rounds);
    await checkExtents(subject, rounds);
    await checkConcurrentReads([subject], batches);
    models = await modelsOf(subject, windowLength);
    if (subject.writable) {
      await checkWrites(subject, models, rounds);
      await checkConcurrentWrites([subject], models, batches);
    }
  }
  await subject.flush();
  if (opensAgain && device.info?.multiConn) {
    const other = await open();
    if (describe(other.device) !== description) {
      throw new Error(`opened a second time, ${description} is ${describe(other.device)}`);
    }
    if (ranges.end > 0n) {
      await checkModels([subject, other], models, 'it was opened a second time');
      await checkConcurrentReads([subject, other], batches);
      if (subject.writable) await checkConcurrentWrites([subject, other], models, batches);
    }
    await close(other);
    await checkModels([subject], models, 'another that was open was closed');
  }
  if (describe(device) !== description) {
    throw new Error(`${description} became ${describe(device)} while the device was open`);
  }
  await close(subject);
  if (opensAgain) {
    const again = await open();
    if (again.ranges.end > 0n) await checkReads(again, 1);
    await close(again);
  }
}

async function opening(open: () => Awaitable<BlockDevice>, timeout: number): Promise<BlockDevice> {
  let device: BlockDevice | undefined;
  await settle('open', timeout, async () => {
    device = await open();
  });
  return device!;
}

async function checkClose(subject: Subject): Promise<void> {
  const { device } = subject;
  await subject.settle('close', () => device.close?.());
  await subject.settle('close, called again,', () => device.close?.());
  await subject.checkQuiet();
}

function describe({ size, info }: BlockDevice): string {
  return JSON.stringify({ size: size.toString(), ...info });
}
