import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const PACKAGES = fileURLToPath(new URL('../../packages', import.meta.url));

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const manifests = readdirSync(PACKAGES).map(
  (folder) => JSON.parse(readFileSync(`${PACKAGES}/${folder}/package.json`, 'utf8')) as Manifest,
);

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
