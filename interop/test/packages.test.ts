import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const PACKAGES = fileURLToPath(new URL('../../packages', import.meta.url));

interface Manifest {
  readonly name: string;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly files: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const folders = readdirSync(PACKAGES);
const manifestOf = (folder: string) =>
  JSON.parse(readFileSync(`${PACKAGES}/${folder}/package.json`, 'utf8')) as Manifest;
const manifests = folders.map(manifestOf);

/** The packages of this repository that each of them imports, tests included. */
const imports = new Map(
  manifests.map(({ name, dependencies, devDependencies }) => [
    name,
    Object.keys({ ...dependencies, ...devDependencies }).filter((other) => other.startsWith('@nbd/')),
  ]),
);

test('no package depends on itself by way of others', () => {
  const circles: string[] = [];
  const follow = (path: readonly string[]) => {
    for (const next of imports.get(path.at(-1)!) ?? []) {
      if (next === path[0]) circles.push([...path, next].join(' → '));
      else if (!path.includes(next)) follow([...path, next]);
    }
  };
  for (const name of imports.keys()) follow([name]);
  expect(circles).toEqual([]);
});

test('the protocol depends on none of the others', () => {
  expect(imports.get('@nbd/protocol')).toEqual([]);
});

/** Its program nbd-disk2data takes a URI too, and loads the client for that. The plugin does not. */
const READS_URIS = '@nbd/plugin-data';

test('plugins depend on no server and no client', () => {
  for (const [name, others] of imports) {
    if (!name.startsWith('@nbd/plugin')) continue;
    expect(others, name).not.toContain('@nbd/server');
    if (name !== READS_URIS) expect(others, name).not.toContain('@nbd/client');
  }
});

describe.each(folders)('the manifest of packages/%s', (folder) => {
  const manifest = manifestOf(folder);

  test('says what people and npm need to know', () => {
    expect(manifest).toMatchObject({
      name: expect.stringMatching(/^@nbd\//) as string,
      description: expect.stringMatching(/\S/) as string,
      license: 'MIT',
      repository: {
        type: 'git',
        url: 'git+https://github.com/nbd-toolkit/nbd.git',
        directory: `packages/${folder}`,
      },
      type: 'module',
      engines: { node: '>=20' },
      publishConfig: { access: 'public' },
      keywords: expect.arrayContaining(['nbd', 'network-block-device', 'disk']) as string[],
    });
    expect(manifest).not.toHaveProperty('private');
  });

  test('has types before code in its exports, and is free of side effects where it has some', () => {
    const { './package.json': own, ...modules } = manifest.exports;
    expect(own).toBe('./package.json');
    for (const [path, module] of Object.entries(modules)) {
      const file = expect.stringMatching(/^\.\/dist\/.*\.js$/) as string;
      const types = expect.stringMatching(/^\.\/dist\/.*\.d\.ts$/) as string;
      expect(Object.entries(module as object), path).toEqual([
        ['types', types],
        ['default', file],
      ]);
    }
    if (Object.keys(modules).length > 0) expect(manifest).toHaveProperty('sideEffects', false);
  });

  test('publishes what is built and no more', () => {
    const may = ['bin', 'dist', 'template', '!dist/**/*.tsbuildinfo'];
    expect(manifest.files.filter((pattern) => !may.includes(pattern))).toEqual([]);
    expect(manifest.files).toContain('!dist/**/*.tsbuildinfo');
  });

  test('has programs that are there before the first build', () => {
    for (const path of Object.values(manifest.bin ?? {})) {
      expect(() => {
        accessSync(`${PACKAGES}/${folder}/${path}`, constants.X_OK);
      }).not.toThrow();
    }
  });

  test('depends on the others as they are here', () => {
    for (const [name, range] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      if (name.startsWith('@nbd/')) expect(range, name).toBe('workspace:^');
    }
    // A minor version of one would make changesets take the other to its next major version.
    const peers = Object.keys(manifest.peerDependencies ?? {});
    expect(peers.filter((name) => name.startsWith('@nbd/'))).toEqual([]);
  });

  test('comes with a README of its own', () => {
    expect(readFileSync(`${PACKAGES}/${folder}/README.md`, 'utf8')).toMatch(
      new RegExp(`^# ${manifest.name}\n`),
    );
  });
});
