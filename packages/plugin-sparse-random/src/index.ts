import { boolean, definePlugin, integer, number, size } from '@nbd/plugin';
import { formatSize } from '@nbd/protocol';
import { BLOCK_SIZE } from './blocks.js';
import { repeatedContent } from './content.js';
import { openDisk } from './disk.js';
import { createMap } from './map.js';
import { randomContent } from './random-content.js';

/** A disk shaped like a virtual machine's, of any size, that is computed where it is read and checked where it is written. */
export default definePlugin({
  name: 'sparse-random',
  description:
    "A disk shaped like a virtual machine's, for testing copies: islands of random data, nothing stored",
  parameters: {
    size: size({ required: true, positional: true, help: 'size of the disk' }),
    seed: integer({
      min: 0,
      max: 2 ** 32 - 1,
      help: 'the same seed gives the same disk (default: drawn at start)',
    }),
    percent: number({ default: 10, min: 0, max: 100, help: 'how much of the disk is data' }),
    runlength: size({ default: 16n << 20n, min: 1n, help: 'average length of a run of data' }),
    'random-content': boolean({
      default: false,
      help: 'random bytes, instead of one byte repeated over a block',
    }),
  },
  examples: ['plugin-sparse-random 1T', 'plugin-sparse-random 7E seed=1 percent=1 random-content=true'],

  setup({ size, percent, runlength, ...parameters }, { log }) {
    const seed = parameters.seed ?? drawSeed();
    if (parameters.seed === undefined) log.info(`seed=${seed} (pass it to get the same disk again)`);
    const map = createMap({ seed, percent, runLength: runlength });
    const lookBack = Math.min(map.lookBack * BLOCK_SIZE, Number(size));
    if (lookBack >= TiB) {
      log.info(
        `with percent=${percent} and runlength=${formatSize(runlength)}, what is at a place follows from about ` +
          `${formatSize(lookBack)} before it: 0.25 s per TiB for the first read there, and an error above 256 TiB`,
      );
    }
    const content = parameters['random-content'] ? randomContent(seed) : repeatedContent(seed);
    const twin = [`size=${size}`, `seed=${seed}`, `percent=${percent}`, `runlength=${runlength}`];
    if (parameters['random-content']) twin.push('random-content=true');
    return { size, map, content, log, twin };
  },

  open: (_request, disk) => openDisk(disk),
  twin: (disk) => disk.twin,
  close: (disk) => disk.content.close?.(),
});

const TiB = 2 ** 40;

function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}
