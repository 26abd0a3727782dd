import { isatty } from 'node:tty';
import { NbdError } from '@nbd/protocol';
import { readDescriptor } from './byte-streams.js';
import type { Destination, Source } from './endpoint.js';
import { descriptorDestination, streamSource } from './stream.js';

/** @throws NbdError EINVAL if it is a terminal */
export function openStdin(): Source {
  if (isatty(0)) throw new NbdError('EINVAL', 'standard input is a terminal, and no disk; redirect it');
  return streamSource('standard input', readDescriptor(0));
}

/** @throws NbdError EINVAL if it is a terminal */
export function openStdout(): Destination {
  return descriptorDestination('standard output', 1);
}
