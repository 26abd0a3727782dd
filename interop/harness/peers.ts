import { accessSync, constants, existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

/**
 * A program on the `PATH` (`nbdinfo`), or with `trixie:` in front the newer one of Debian 13 (`trixie:nbdinfo`),
 * which `scripts/install-peers.sh` puts in a cache folder.
 */
export type Peer = string;

const TRIXIE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'nbd-peers', 'trixie');

/** The path of a plugin of Debian 13's nbdkit, which by its name would take that of Debian 12. */
export function trixiePlugin(name: string): string {
  return join(TRIXIE, `usr/lib/x86_64-linux-gnu/nbdkit/plugins/nbdkit-${name}-plugin.so`);
}

/** What a registry and checks of packages take: `scripts/install-peers.sh` puts it there. */
const REGISTRY = fileURLToPath(new URL('../registry/node_modules/.bin', import.meta.url));

/** Administrators' programs (fsck.fat, sgdisk) are not on every user's path. */
const PATH = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', REGISTRY];

/** Whether all of these are installed. */
export function has(...peers: readonly Peer[]): boolean {
  return peers.every((peer) => commandOf(peer) !== undefined);
}

/**
 * Vitest's `describe` for tests that need these peers. Where one of them is not installed the tests are skipped, and
 * the title says why: `npm test` lists it at its end.
 *
 * ```ts
 * describeWith(['nbdinfo', 'trixie:nbdinfo'], 'nbdinfo', () => {
 *   test('sees the size', async () => { … });
 * });
 * ```
 */
export function describeWith(peers: readonly Peer[], title: string, tests: () => void): void {
  const missing = peers.filter((peer) => !has(peer));
  if (missing.length === 0) describe(title, tests);
  else describe.skip(`${title} (needs ${missing.join(', ')})`, tests);
}

/** The words that run the peer, before its arguments; undefined if it is not installed. */
export function commandOf(peer: Peer): readonly string[] | undefined {
  const [, trixie] = /^trixie:(.+)$/.exec(peer) ?? [];
  if (trixie !== undefined) return trixieCommand(trixie);
  const path = onPath(peer);
  if (path === undefined) return undefined;
  // Its script runs the first python3 on the path, which need not be the one that has libnbd's module.
  return peer === 'nbdsh' ? ['/usr/bin/python3', '-m', 'nbd'] : [path];
}

/** Debian 13's programs run on any Linux with their own loader and libraries. */
function trixieCommand(program: string): readonly string[] | undefined {
  const libraries = join(TRIXIE, 'usr/lib/x86_64-linux-gnu');
  const loader = [
    join(TRIXIE, 'usr/lib64/ld-linux-x86-64.so.2'),
    '--library-path',
    `${libraries}${delimiter}${libraries}/ceph`,
  ];
  const path = join(TRIXIE, 'usr/bin', program);
  // The stamp is there once the tree is complete.
  if (!existsSync(join(TRIXIE, '.complete')) || !existsSync(path)) return undefined;
  if (program !== 'nbdsh') return [...loader, path];
  return [
    '/usr/bin/env',
    `PYTHONHOME=${TRIXIE}/usr`,
    ...loader,
    join(TRIXIE, 'usr/bin/python3'),
    '-m',
    'nbd',
  ];
}

function onPath(program: string): string | undefined {
  if (program.includes('/')) return program;
  return PATH.map((directory) => join(directory, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
