import type { Socket } from 'node:net';

/** The descriptor of an open socket, which Node has no public name for; undefined where there is none. */
export function descriptorOf(socket: Socket): number | undefined {
  const { fd } = (socket as unknown as { _handle?: { fd?: number } | null })._handle ?? {};
  return fd !== undefined && fd >= 0 ? fd : undefined;
}
