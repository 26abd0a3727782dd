import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { NbdError } from '@nbd/protocol';
import {
  readDescriptor,
  SocketReader,
  SocketWriter,
  writeDescriptor,
  type Reader,
  type Writer,
} from './byte-streams.js';
import type { Destination, Source } from './endpoint.js';
import { InOrder } from './in-order.js';

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

/** A pipe or a character device. A pipe's writer is waited for when it is read: that can be interrupted. */
export function openStreamSource(path: string): Source {
  return streamSource(path, readDescriptor(openSync(path, O_RDONLY | O_NONBLOCK)));
}

/** @throws NbdError EINVAL if it is a terminal */
export async function openStreamDestination(path: string, signal?: AbortSignal): Promise<Destination> {
  const fd = await openForWriting(path, signal);
  try {
    return descriptorDestination(path, fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** How often to look whether a pipe has a reader by now, in milliseconds. */
const READER_CHECK = 20;

/** A pipe without a reader can't be opened yet, or only by waiting for one in a way that can't be interrupted. */
async function openForWriting(path: string, signal: AbortSignal | undefined): Promise<number> {
  for (;;) {
    try {
      return openSync(path, O_WRONLY | O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    }
    await pause(READER_CHECK, undefined, signal && { signal });
  }
}

/** What is sent by whoever listens at a Unix socket, up to its end. */
export async function openSocketSource(path: string): Promise<Source> {
  let socket: Socket | undefined;
  const reader = new SocketReader((onread) => (socket = connect({ path, onread } as NetConnectOpts)));
  await once(socket!, 'connect');
  return streamSource(path, reader);
}

export async function openSocketDestination(path: string): Promise<Destination> {
  const socket = connect({ path });
  await once(socket, 'connect');
  return streamDestination(path, new SocketWriter(socket));
}

/** What an open descriptor takes. @throws NbdError EINVAL if it is a terminal */
export function descriptorDestination(name: string, fd: number): Destination {
  if (isatty(fd)) {
    throw new NbdError(
      'EINVAL',
      `${name} is a terminal, which a disk would garble; pipe it, as into hexdump -C`,
    );
  }
  return streamDestination(name, writeDescriptor(fd));
}

export function streamSource(name: string, reader: Reader): Source {
  const close = () => {
    reader.destroy();
    return Promise.resolve();
  };
  return { name, stream: reader, close, abandon: close };
}

function streamDestination(name: string, writer: Writer): Destination {
  const close = () => {
    writer.destroy();
    return Promise.resolve();
  };
  return {
    name,
    device: new InOrder(writer),
    isZero: false,
    isStream: true,
    unfinished: name,
    finish: () => writer.end(),
    close,
    abandon: close,
  };
}
