import { closeSync, openSync, writeSync } from 'node:fs';
import { defineFilter, overridePlugin, path, type Plugin } from '@nbd/plugin';
import { isNbdError, NbdError, overrideDevice } from '@nbd/protocol';
import { observeCalls, type Settled } from './around-calls.js';

/** Tells what clients ask for, and how long it takes. */
export default defineFilter({
  name: 'log',
  description: 'Logs every request, with the time that it took',
  parameters: {
    file: path({ positional: true, help: 'a file to append to (default: the messages of the server)' }),
  },
  examples: ['--filter=log plugin-memory 1G', '--filter=log,file=requests.log plugin-memory 1G'],

  setup({ file }, { log }) {
    if (file === undefined) {
      return (inner) =>
        logged(inner, (line) => {
          log.info(line);
        });
    }
    const descriptor = openToAppend(file);
    const write = (line: string): void => {
      writeSync(descriptor, `${new Date().toISOString()} ${line}\n`);
    };
    return (inner) =>
      overridePlugin(logged(inner, write), {
        async close() {
          await inner.close?.();
          closeSync(descriptor);
        },
      });
  },
});

function openToAppend(file: string): number {
  try {
    return openSync(file, 'a');
  } catch (error) {
    throw new NbdError('EIO', `can't write to ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function logged(inner: Plugin, write: (line: string) => void): Plugin {
  let connections = 0;
  return overridePlugin(inner, {
    async open(request) {
      const label = `connection ${++connections}`;
      const device = await inner.open(request);
      write(
        `${label}: open "${request.exportName}"${request.readOnly ? ' read-only' : ''}, ${device.size} bytes`,
      );
      const observed = observeCalls(device, (call) => {
        write(`${label}: ${spoken(call)}`);
      });
      return overrideDevice(observed, {
        async close() {
          write(`${label}: close`);
          await device.close?.();
        },
      });
    },
  });
}

/** `read 4096 bytes at 0: 0.123 ms`. */
function spoken({ command, offset, length, options = {}, milliseconds, failure }: Settled): string {
  const flags = [
    options.fua === true ? ' fua' : '',
    options.noHole === true ? ' no-hole' : '',
    options.fastZero === true ? ' fast' : '',
  ];
  const range = command === 'flush' ? '' : ` ${length} bytes at ${offset}`;
  const end = failure ? `, failed: ${reasonOf(failure.error)}` : '';
  return `${command}${range}${flags.join('')}: ${milliseconds.toFixed(3)} ms${end}`;
}

function reasonOf(error: unknown): string {
  if (isNbdError(error)) return `${error.code} (${error.message})`;
  return error instanceof Error ? error.message : String(error);
}
