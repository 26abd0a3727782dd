import { realpath, stat } from 'node:fs/promises';
import type { Place } from '../endpoints/index.js';

/**
 * What tells a source from others, and from what it was before it changed, as far as that can be told. A file has its
 * inode and the time when it was changed last; not the number of its device, which may be another one after a reboot.
 */
export async function sourceIdentity(place: Place): Promise<string> {
  if (place.kind !== 'path') return asWritten(place);
  const { mtimeNs } = await stat(place.path, { bigint: true });
  const identity = await fileIdentity(place.path);
  // The time of a block device's node says nothing about its content.
  return identity.startsWith('inode') ? `${identity}, changed at ${mtimeNs}` : identity;
}

/** @param path where it is until all is copied */
export async function destinationIdentity(place: Place, path: string | undefined): Promise<string> {
  return place.kind === 'path' ? fileIdentity(path ?? place.path) : asWritten(place);
}

async function fileIdentity(path: string): Promise<string> {
  const status = await stat(path, { bigint: true });
  return status.isBlockDevice() ? `block device ${await realpath(path)}` : `inode ${status.ino}`;
}

function asWritten(place: Exclude<Place, { kind: 'path' }>): string {
  switch (place.kind) {
    case 'uri':
      return place.uri;
    case 'command':
      return `[ ${place.words.join(' ')} ]`;
    case 'plugin':
      return ['plugin', place.plugin, ...place.words].join(' ');
    case 'stdio':
    case 'null':
      return place.kind;
  }
}
