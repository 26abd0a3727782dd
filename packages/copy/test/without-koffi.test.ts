import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const PACKAGES = join(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'nbd-copy-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** An installation of the package as it is where optional dependencies are left out. */
function install(source: string): void {
  const { name, dependencies = {} } = JSON.parse(
    readFileSync(join(source, 'package.json'), 'utf8'),
  ) as Manifest;
  const target = join(directory, 'node_modules', name);
  // What is in its node_modules and its tests is not part of it.
  const belongs = (path: string) => !/^(node_modules|src|test)$/.test(relative(source, path));
  cpSync(source, target, { recursive: true, filter: belongs });
  for (const dependency of Object.keys(dependencies)) {
    const at = [join(source, 'node_modules', dependency), join(source, '..', dependency)];
    install(realpathSync(at.find((path) => statSync(path, { throwIfNoEntry: false }))!));
  }
}

install(join(PACKAGES, 'copy'));

function node(...words: readonly string[]) {
  const env = { ...process.env, NODE_PATH: '' }; // pnpm's programs set it to where koffi is
  return spawnSync(process.execPath, words, { cwd: directory, env, encoding: 'utf8' });
}

const nbdCopy = (...words: readonly string[]) =>
  node(join(directory, 'node_modules/@nbd/copy/bin/nbd-copy.js'), ...words);

test('without koffi a file is copied whole, and a new one is sparse all the same', () => {
  expect(node('-e', 'require("koffi")').stderr).toContain("Cannot find module 'koffi'");
  const source = join(directory, 'source');
  writeFileSync(source, 'the beginning');
  truncateSync(source, 64 << 20);
  const copy = join(directory, 'copy');
  expect(nbdCopy('--verify', source, copy)).toMatchObject({ status: 0, stderr: '' });
  execFileSync('cmp', [source, copy]);
  expect(statSync(copy).blocks * 512).toBeLessThan(1 << 20);
});
