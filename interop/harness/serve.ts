import { fileURLToPath } from 'node:url';
import type { ChildOptions } from './child.js';
import { startServer, type Server } from './server.js';

/** Our `nbd-serve`, as it lies in the repository. */
export const NBD_SERVE = fileURLToPath(
  new URL('../../packages/nbd-server/bin/nbd-serve.js', import.meta.url),
);

/** Our `nbd-copy`, as it lies in the repository. */
export const NBD_COPY = fileURLToPath(new URL('../../packages/copy/bin/nbd-copy.js', import.meta.url));

export interface ServeOptions extends ChildOptions {
  /** On a free TCP port of 127.0.0.1 instead of a private Unix socket. */
  readonly tcp?: boolean;
}

/**
 * Starts `nbd-serve` with these words and waits until it accepts connections.
 *
 * ```ts
 * await using server = await serve(['plugin-data', 'hello', 'size=1M']);
 * const { stdout } = await run('nbdinfo', ['--size', server.uri]);
 * ```
 */
export async function serve(args: readonly string[], options: ServeOptions = {}): Promise<Server> {
  const server = await startServer(
    process.execPath,
    ({ socket, pidFile }) => [
      NBD_SERVE,
      ...(options.tcp === true ? ['--ipaddr', '127.0.0.1', '--port', '0'] : ['--unix', socket]),
      '--pidfile',
      pidFile,
      ...args,
    ],
    options,
  );
  const [uri] = await server.said(/\bnbds?(?:\+unix)?:\/\/\S+/);
  return { ...server, uri, socket: options.tcp === true ? '' : server.socket };
}

/** Starts nbdkit with a plugin and its parameters: `serveNbdkit(['--filter=delay', 'memory', '1M', 'rdelay=20ms'])`. */
export async function serveNbdkit(args: readonly string[], options: ChildOptions = {}): Promise<Server> {
  const server = await startServer(
    'nbdkit',
    ({ socket, pidFile }) => ['--foreground', '--unix', socket, '--pidfile', pidFile, ...args],
    options,
  );
  return { ...server, uri: unixUri(server.socket) };
}

/** Starts qemu-nbd, which goes on after its clients have gone: `serveQemuNbd(['--format=raw', path])`. */
export async function serveQemuNbd(
  args: readonly string[],
  options: ChildOptions & { readonly program?: 'qemu-nbd' | 'trixie:qemu-nbd' } = {},
): Promise<Server> {
  const server = await startServer(
    options.program ?? 'qemu-nbd',
    ({ socket, pidFile }) => [
      `--socket=${socket}`,
      `--pid-file=${pidFile}`,
      '--persistent',
      '--shared=8',
      ...args,
    ],
    options,
  );
  return { ...server, uri: unixUri(server.socket) };
}

function unixUri(socket: string): string {
  return `nbd+unix:///?socket=${socket}`;
}
