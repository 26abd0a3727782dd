import { run } from './run.js';

/** A kernel in qemu, with an emulated processor: about ten seconds, more where several run at once. */
const LIMIT = 240_000;

/**
 * Boots a real Linux with the disk and runs guestfish's commands in it.
 *
 * ```ts
 * const listing = await guestfish(server.uri, ['run', 'mount /dev/sda1 /', 'll /']);
 * ```
 * Give the test a timeout of {@link GUESTFISH_TIMEOUT}.
 * @param uri of a server that runs; the disk is opened read-only unless `writable`, with sectors of `sectorSize` bytes
 *   (512).
 * @returns what the commands printed.
 */
export async function guestfish(
  uri: string,
  commands: readonly string[],
  options: { readonly writable?: boolean; readonly sectorSize?: 512 | 4096 } = {},
): Promise<string> {
  const { stdout } = await run(
    'guestfish',
    [
      options.writable === true ? '--rw' : '--ro',
      '--format=raw',
      `--blocksize=${options.sectorSize ?? 512}`,
      ...['--add', guestfsUri(uri)],
    ],
    {
      input: commands.join('\n') + '\n',
      timeout: LIMIT,
      env: {
        LIBGUESTFS_BACKEND: 'direct',
        // Without it the appliance hangs on machines that are virtual themselves.
        LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg',
      },
    },
  );
  return stdout;
}

/** For tests that call {@link guestfish}. */
export const GUESTFISH_TIMEOUT = LIMIT + 10_000;

/** It knows `nbd:///?socket=…`, not yet `nbd+unix:`. */
function guestfsUri(uri: string): string {
  return uri.replace(/^nbd\+unix:/, 'nbd:');
}
