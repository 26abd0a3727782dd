import { connect, spawnServer, type NbdClient, type Target } from '@nbd/client';
import type { Destination, EndpointOptions, Source } from './endpoint.js';

/** A disk of an NBD server: `nbd://host/export`, `nbd+unix:///?socket=PATH`. */
export async function openUri(uri: string, options: EndpointOptions): Promise<Source & Destination> {
  return endpoint(uri, await connectTo(uri, options));
}

/** The disk of a server that is started for it, and ends with it. */
export async function openCommand(
  words: readonly string[],
  options: EndpointOptions,
): Promise<Source & Destination> {
  return endpoint(`[ ${words.join(' ')} ]`, await connectTo(await spawnServer(words), options));
}

function connectTo(target: Target, { connections, window, signal }: EndpointOptions): Promise<NbdClient> {
  return connect(target, {
    connections,
    window,
    // A person who types a URI may read our files.
    allowUriFiles: true,
    ...(signal && { signal }),
  });
}

function endpoint(name: string, disk: NbdClient): Source & Destination {
  return {
    name,
    device: disk,
    connections: disk.connections,
    isZero: false,
    isStream: false,
    unfinished: name,
    finish: () => disk.close(),
    close: () => disk.close(),
    abandon() {
      disk.destroy();
      return disk.close();
    },
  };
}
