import { Command, errorFromWire, isNbdError, NbdError, type NbdErrorCode } from '@nbd/protocol';
import type { Call } from './call.js';

/** A call for people: `the write of 4096 bytes at offset 512`. */
export function describeCall({ command, length, offset }: Call): string {
  const name = COMMAND_NAMES.get(command) ?? `command ${command}`;
  return command === Command.FLUSH ? `the ${name}` : `the ${name} of ${length} bytes at offset ${offset}`;
}

/** The error for what the server reports. */
export function serverError(call: Call, value: number, message: string, offset = call.offset): NbdError {
  const code = errorFromWire(value);
  const said = message === '' ? '' : ` (${JSON.stringify(message)})`;
  const where = offset === call.offset ? '' : ` at offset ${offset}`;
  return new NbdError(code, `${describeCall(call)} failed${where}: ${code} from the server${said}`, {
    ...(call.command === Command.FLUSH ? {} : { offset }),
  });
}

/** The error for a call whose connection was lost. */
export function lostError(call: Call, cause: NbdError): NbdError {
  // A broken rule, or a time limit, is itself the news.
  if (call.state === 'unsent' || cause.code === 'EPROTO' || READS.has(call.command)) return cause;
  return new NbdError(
    cause.code,
    `${cause.message}; whether ${describeCall(call)} was carried out is unknown`,
    { cause, offset: call.offset },
  );
}

/** The error for a connection that ended, as far as the transport knows why. */
export function connectionError(cause: Error | undefined): NbdError {
  if (cause === undefined) return new NbdError('ECONNRESET', 'the server has closed the connection');
  if (isNbdError(cause)) return cause;
  const { code } = cause as { code?: string };
  return new NbdError(
    CONNECTION_CODES.find((known) => known === code) ?? 'ECONNRESET',
    `the connection has failed: ${cause.message}`,
    { cause },
  );
}

/** Codes of sockets that say more than that there is no connection. */
const CONNECTION_CODES: readonly NbdErrorCode[] = [
  'EACCES',
  'EPERM',
  'ECONNREFUSED',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
];

/** Commands that change nothing, so that it does not matter whether they were carried out. */
export const READS: ReadonlySet<number> = new Set([Command.READ, Command.CACHE, Command.BLOCK_STATUS]);

const COMMAND_NAMES = new Map<number, string>([
  [Command.READ, 'read'],
  [Command.WRITE, 'write'],
  [Command.FLUSH, 'flush'],
  [Command.TRIM, 'trim'],
  [Command.CACHE, 'cache request'],
  [Command.WRITE_ZEROES, 'zeroing'],
  [Command.BLOCK_STATUS, 'block status query'],
]);
