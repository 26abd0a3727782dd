import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import type { Listening } from './listening.js';

/** Starts a shell command that knows where the disk is. */
export function startCommand(command: string, listening: Listening, exportName: string): ChildProcess {
  return spawn(command, {
    shell: true,
    stdio: 'inherit',
    env: {
      ...process.env,
      uri: listening.uri ?? '',
      nbd: listening.nbd ?? '',
      port: listening.port === undefined ? '' : String(listening.port),
      unixsocket: listening.socket ?? '',
      exportname: exportName,
    },
  });
}

/** The command's exit code, as a shell would give it. */
export async function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
}
