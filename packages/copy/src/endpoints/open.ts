import { stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { toNbdError } from '@nbd/plugin-file/file';
import { NbdError } from '@nbd/protocol';
import type { Destination, DestinationOptions, EndpointOptions, Place, Source } from './endpoint.js';
import { openBlockDevice, openFileDestination, openFileSource } from './file.js';
import { openCommand, openUri } from './nbd.js';
import { nullDestination } from './null.js';
import { openPlugin } from './plugin.js';
import { openStdin, openStdout } from './stdio.js';
import {
  openSocketDestination,
  openSocketSource,
  openStreamDestination,
  openStreamSource,
} from './stream.js';

/**
 * Opens what is copied from.
 * @throws NbdError for what can't be opened, with its name
 */
export async function openSource(place: Place, options: EndpointOptions): Promise<Source> {
  switch (place.kind) {
    case 'uri':
      return openUri(place.uri, options);
    case 'command':
      return openCommand(place.words, options);
    case 'plugin':
      return openPlugin(place.plugin, place.words, { ...options, readOnly: true });
    case 'stdio':
      return openStdin();
    case 'null':
      throw new NbdError('EINVAL', 'null: has nothing to read; it is a destination');
    case 'path':
      return onPath(place.path, async () => {
        const status = await stat(place.path);
        if (status.isSocket()) return openSocketSource(place.path);
        return isStream(status) ? openStreamSource(place.path) : openFileSource(place.path);
      });
  }
}

/**
 * Opens what is copied to. Nothing is written to it yet, but a file that is there already is emptied.
 * @throws NbdError for what can't be opened, with its name
 */
export async function openDestination(place: Place, options: DestinationOptions): Promise<Destination> {
  switch (place.kind) {
    case 'uri':
      return openUri(place.uri, options);
    case 'command':
      return openCommand(place.words, options);
    case 'plugin':
      return openPlugin(place.plugin, place.words, { ...options, readOnly: false });
    case 'stdio':
      return openStdout();
    case 'null':
      return nullDestination();
    case 'path':
      return onPath(place.path, async () => {
        const status = await stat(place.path).catch(unlessMissing);
        if (status?.isSocket()) return openSocketDestination(place.path);
        if (status?.isBlockDevice()) return openBlockDevice(place.path, options);
        if (status && isStream(status)) return openStreamDestination(place.path, options.signal);
        return openFileDestination(place.path, options);
      });
  }
}

function isStream(status: Stats): boolean {
  return status.isFIFO() || status.isCharacterDevice();
}

function unlessMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

/** What Node throws about files, as errors of the one kind that crosses packages. */
async function onPath<T>(path: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    throw toNbdError(error, path);
  }
}
