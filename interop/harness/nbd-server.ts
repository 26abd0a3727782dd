import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { collect, startChild } from './child.js';
import { temporaryDirectory } from './temporary.js';

/**
 * Starts Debian's nbd-server with these lines of configuration, in their sections.
 * @param place where it will accept connections; this waits until it does
 */
export async function serveNbdServer(
  place: { readonly host: string; readonly port: number } | { readonly path: string },
  generic: readonly string[],
  exported: readonly string[],
): Promise<AsyncDisposable> {
  const directory = await temporaryDirectory();
  const config = directory.file('config');
  await writeFile(config, ['[generic]', ...generic, '[disk]', ...exported, ''].join('\n'));
  const { child, ended } = startChild('sh', ['-c', SCRIPT, 'sh', config, directory.file('pid')]);
  const stderr = collect(child.stderr);
  const stop = async () => {
    child.stdin.end();
    await ended;
    await directory[Symbol.asyncDispose]();
  };
  // Its pid file is there before it listens: only trying shows that it does.
  const limit = AbortSignal.timeout(20_000);
  while (!(await accepts(place))) {
    if (limit.aborted || child.exitCode !== null) {
      await stop();
      throw new Error(`nbd-server does not serve\n${stderr.text()}`);
    }
    await setTimeout(5);
  }
  return { [Symbol.asyncDispose]: stop };
}

/** It runs in the background only; it is ended when our end of standard input is closed, however we end. */
const SCRIPT = `
exec 3<&0
nbd-server -C "$1" -p "$2" || exit
{ cat <&3 >/dev/null; kill "$(cat "$2")"; } &
wait
`;

function accepts(place: { host: string; port: number } | { path: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(place);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}
