import { execFile } from 'node:child_process';

const SETPRIV = 'setpriv';
const DEATH_SIGNAL = ['--pdeathsig', 'TERM', '--'];

let words: Promise<readonly string[]> | undefined;

/**
 * What to put in front of a command so that it ends when we are killed: `setpriv` of util-linux, which has the kernel
 * send a signal to it (prctl(2), PR_SET_PDEATHSIG). Nothing where that is not to be had.
 */
export function endedWithUs(): Promise<readonly string[]> {
  return (words ??= works());
}

function works(): Promise<readonly string[]> {
  if (process.platform !== 'linux') return Promise.resolve([]);
  return new Promise((resolve) => {
    execFile(SETPRIV, [...DEATH_SIGNAL, 'true'], (error) => {
      resolve(error ? [] : [SETPRIV, ...DEATH_SIGNAL]);
    });
  });
}
