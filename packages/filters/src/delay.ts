import { defineFilter, overridePlugin, type Filter } from '@nbd/plugin';
import { overrideDevice, type BlockDevice } from '@nbd/protocol';
import { aroundCalls, COMMANDS, type CommandName } from './around-calls.js';
import { duration } from './duration.js';
import { sleep } from './sleep.js';

const help = (what: string) => ({ help: `before ${what}` });

/** Makes a disk slow, as one far away is. Requests wait side by side. */
export default defineFilter({
  name: 'delay',
  description: 'Waits before requests',
  parameters: {
    all: duration({ positional: true, help: 'before each command that no other parameter names' }),
    read: duration(help('a read')),
    write: duration(help('a write')),
    zero: duration(help('zeroes')),
    trim: duration(help('a trim')),
    cache: duration(help('a cache')),
    flush: duration(help('a flush')),
    extents: duration(help('the extents are told')),
    open: duration({ default: 0, ...help('the disk is opened') }),
    close: duration({ default: 0, ...help('it is closed') }),
  },
  examples: ['--filter=delay,20ms plugin-memory 1G', '--filter=delay,read=5ms,open=2s plugin-memory 1G'],

  setup({ all = 0, open, close, ...commands }): Filter {
    const delays = Object.fromEntries(COMMANDS.map((name) => [name, commands[name] ?? all])) as Delays;
    return (inner) =>
      overridePlugin(inner, {
        async open(request) {
          if (open > 0) await sleep(open);
          return delayed(await inner.open(request), delays, close);
        },
      });
  },
});

/** Milliseconds. */
type Delays = Readonly<Record<CommandName, number>>;

function delayed(device: BlockDevice, delays: Delays, beforeClose: number): BlockDevice {
  const slow = aroundCalls(device, ({ command, options }, run) => {
    const milliseconds = delays[command];
    return milliseconds === 0 ? run() : sleep(milliseconds, options?.signal).then(run);
  });
  if (beforeClose === 0) return slow;
  return overrideDevice(slow, {
    async close() {
      await sleep(beforeClose);
      await device.close?.();
    },
  });
}
