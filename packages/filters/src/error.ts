import { choice, defineFilter, integer, liftDevice, parameterType, type ParameterMaker } from '@nbd/plugin';
import { NbdError, type BlockDevice, type NbdErrorCode } from '@nbd/protocol';
import { aroundCalls, COMMANDS, type CommandName } from './around-calls.js';

const CODES = ['EIO', 'ENOSPC', 'EPERM', 'ENOMEM', 'EINVAL', 'ENOTSUP', 'EOVERFLOW', 'ESHUTDOWN'] as const;

/** A share of all: `1%` or `0.01`. */
const rate: ParameterMaker<number> = parameterType<number>(() => ({
  type: 'RATE',
  what: 'a rate: 0% to 100%, or 0 to 1',
  read(text) {
    const [, count, percent] = /^(\d+\.?\d*|\.\d+)(%?)$/.exec(text) ?? [];
    return count === undefined ? undefined : Number(count) / (percent === '%' ? 100 : 1);
  },
  is: (value) => typeof value === 'number' && value >= 0 && value <= 1,
  format: (value) => `${value * 100}%`,
}));

/** A disk that fails now and then, for testing what its clients do. */
export default defineFilter({
  name: 'error',
  description: 'Fails some requests, by chance',
  parameters: {
    rate: rate({ positional: true, help: 'how many of the requests that no other parameter names fail' }),
    read: rate({ help: 'how many reads fail' }),
    write: rate({ help: 'how many writes fail' }),
    zero: rate({ help: 'how many zeroes fail' }),
    trim: rate({ help: 'how many trims fail' }),
    cache: rate({ help: 'how many caches fail' }),
    flush: rate({ help: 'how many flushes fail' }),
    extents: rate({ help: 'how many questions for extents fail' }),
    error: choice(CODES, { default: 'EIO', help: 'what they fail with' }),
    seed: integer({ help: 'fails the same requests each time, if they come in the same order' }),
  },
  examples: ['--filter=error,1% plugin-memory 1G', '--filter=error,write=50%,error=ENOSPC plugin-memory 1G'],

  setup({ rate = 0, error, seed: given, ...commands }, { log }) {
    const seed = given ?? Math.floor(Math.random() * 2 ** 31);
    if (given === undefined) log.info(`to repeat this, seed=${seed}`);
    const rates = Object.fromEntries(COMMANDS.map((name) => [name, commands[name] ?? rate])) as Rates;
    const random = randomNumbers(seed);
    return liftDevice((device) => failing(device, rates, error, random));
  },
});

type Rates = Readonly<Record<CommandName, number>>;

/** The request is not carried out, or what it did would not show whether clients take its failure seriously. */
function failing(device: BlockDevice, rates: Rates, code: NbdErrorCode, random: () => number): BlockDevice {
  return aroundCalls(device, ({ command, offset }, run) => {
    const chance = rates[command];
    if (chance === 0 || random() >= chance) return run();
    throw new NbdError(code, `filter-error fails this ${command}`, { offset });
  });
}

/** Numbers from 0 to below 1 that look random: mulberry32 (Tommy Ettinger, public domain). */
function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
