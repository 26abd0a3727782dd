import type { NbdClient } from './client.js';
import { openDiskOf } from './open-disk.js';
import type { DiskOptions } from './options.js';
import { resolveTarget, type Target, type TargetOptions } from './target.js';

/** Where the disk is and how to use it. */
export interface ConnectOptions extends DiskOptions, TargetOptions {}

/**
 * Connects to a disk.
 *
 * ```ts
 * await using disk = await connect('nbd://localhost/export');
 * const sector = await disk.read(0n, 512);
 * ```
 *
 * A captive server is stopped when the disk is closed, or if connecting fails.
 *
 * @throws NbdError for anything that keeps it from connecting: EINVAL for a URI that is none, ENOENT if there is no
 *   such export or file, EACCES if the server does not let us in or TLS fails, ENOTSUP if the server has no TLS and it
 *   is required, EPROTO if the server breaks the protocol, ETIMEDOUT, ECONNREFUSED, …
 */
export async function connect(target: Target, options: ConnectOptions = {}): Promise<NbdClient> {
  const { dial, wishes, name, server, single } = await resolveTarget(target, options);
  return openDiskOf(server, dial, {
    name,
    ...options,
    ...wishes,
    ...(single && { connections: 1 }),
  });
}
