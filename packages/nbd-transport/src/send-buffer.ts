import type { Socket } from 'node:net';
import { descriptorOf } from './descriptor.js';
import { loadKernel } from './kernel.js';

/**
 * Bytes that the kernel takes of a Unix socket before it makes the sender wait: with its own 208 KiB a reply of
 * 256 KiB takes two waits for the peer (dense read of 4 GiB by nbdcopy: 1.5 s, and 2.1 s without). Linux doubles it for
 * its own bookkeeping, and gives no more than net.core.wmem_max.
 */
const SEND_BUFFER = 512 << 10;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/**
 * Enlarges the send buffer of an open Unix socket. It is no more than faster: where the system call is not to be had,
 * nothing happens. TCP sizes its buffers by itself.
 */
export function enlargeSendBuffer(socket: Socket): void {
  const fd = descriptorOf(socket);
  if (fd === undefined) return;
  loadKernel()?.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, Int32Array.of(SEND_BUFFER), 4);
}
