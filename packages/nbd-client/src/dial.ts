import { isNbdError, NbdError, type ByteSink, type ByteTransport } from '@nbd/protocol';
import { ClientSession } from './session/client-session.js';
import type { Dialogue, Voice } from './session/dialogue.js';

/**
 * Makes a connection: calls `attach` once with its transport, and hands what arrives to the sink that it gets. Called
 * for each connection, and again for each that is re-established.
 */
export type Dial = (attach: (transport: ByteTransport) => ByteSink) => void | Promise<void>;

/** Milliseconds for a connection and its handshake, where nothing else is said. */
export const CONNECT_TIMEOUT = 30_000;

/** Longest time of a timer: Node fires longer ones at once. */
export const MAX_TIMER = 0x7fff_ffff;

export interface DialOptions {
  /** How messages name the server, such as its URI. */
  readonly name?: string;
  /** Milliseconds for the connection and its handshake; 30 000 if not given, 0 for no limit. */
  readonly connectTimeout?: number;
  /** Gives up connecting when it aborts, with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Connects, and holds a dialogue of the handshake.
 * @throws NbdError with the name of the server in front of what went wrong; or the signal's reason.
 */
export async function dialAndConverse<T>(
  dial: Dial,
  dialogue: (voice: Voice) => Dialogue<T>,
  options: DialOptions,
): Promise<{ session: ClientSession; result: T }> {
  const { signal, connectTimeout = CONNECT_TIMEOUT, name } = options;
  signal?.throwIfAborted();
  let session: ClientSession | undefined;
  const attempt = new Promise<ClientSession>((resolve, reject) => {
    const attached = dial((transport) => {
      session = new ClientSession(transport);
      resolve(session);
      return session;
    });
    Promise.resolve(attached).catch(reject);
  });
  const limit = timeLimit(connectTimeout);
  const limits = [limit.signal, ...(signal ? [signal] : [])];
  try {
    const result = await unlessAborted(
      attempt.then((session) => session.converse(dialogue)),
      AbortSignal.any(limits),
    );
    return { session: session!, result };
  } catch (error) {
    if (limits.some(({ aborted }) => aborted)) {
      const reason = new NbdError('ECANCELED', 'connecting was given up', { cause: error });
      // It may yet be made, where dialling takes time.
      attempt.then(
        (session) => {
          session.destroy(reason);
        },
        () => undefined,
      );
    }
    throw named(error, name);
  } finally {
    limit.clear();
  }
}

/** The error with the name of the server in front; what is not an `NbdError` stays as it is. */
export function named(error: unknown, name: string | undefined): unknown {
  if (!isNbdError(error) || name === undefined) return error;
  return new NbdError(error.code, `${name}: ${error.message}`, { cause: error });
}

function timeLimit(milliseconds: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  if (milliseconds === 0) return { signal: controller.signal, clear: () => undefined };
  const timer = setTimeout(
    () => {
      controller.abort(new NbdError('ETIMEDOUT', `no connection within ${milliseconds / 1000} s`));
    },
    Math.min(milliseconds, MAX_TIMER),
  );
  return {
    signal: controller.signal,
    clear: () => {
      clearTimeout(timer);
    },
  };
}

/** The outcome of `work`, or the signal's reason if that comes first. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort);
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
