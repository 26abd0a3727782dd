import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../bin/create-plugin.js', import.meta.url));
const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));
const REPOSITORY = new URL('../../../', import.meta.url);

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'create-plugin-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** Runs a program with nothing on its standard input. */
async function run(program: string, args: readonly string[], cwd: string) {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close') as Promise<[number]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { stdout, stderr, code };
}

const create = (...args: string[]) => run(process.execPath, [PROGRAM, ...args], directory);

interface Manifest {
  readonly name: string;
  readonly exports: unknown;
  readonly scripts: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

async function manifestIn(folder: string | URL): Promise<Manifest> {
  const path = folder instanceof URL ? new URL('package.json', folder) : join(folder, 'package.json');
  return JSON.parse(await readFile(path, 'utf8')) as Manifest;
}

/** Runs a script of a new package, with what this package has installed. */
async function runScript(folder: string, script: string) {
  await symlink(MODULES, join(folder, 'node_modules'));
  return run('npm', ['run', script], folder);
}

test('a new package in TypeScript builds, and passes its tests', { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await create('ruler');
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  expect(stderr).toContain('nbd-plugin-ruler is made');
  const folder = join(directory, 'ruler');
  expect((await readdir(folder)).sort()).toEqual([
    '.gitignore',
    'README.md',
    'package.json',
    'src',
    'tsconfig.json',
  ]);
  const result = await runScript(folder, 'test');
  expect(result.code, result.stdout + result.stderr).toBe(0);
  expect(result.stdout).toContain('pass 2');
});

test('a new package in JavaScript passes its tests', { timeout: 60_000 }, async () => {
  await create('ruler', '--javascript');
  const folder = join(directory, 'ruler');
  expect((await readdir(join(folder, 'src'))).sort()).toEqual(['index.js', 'index.test.js']);
  expect(await readFile(join(folder, 'README.md'), 'utf8')).toContain('src/index.js');
  const result = await runScript(folder, 'test');
  expect(result.code, result.stdout + result.stderr).toBe(0);
  expect(result.stdout).toContain('pass 2');
});

test('no name of the template is left', async () => {
  await create('@you/ruler');
  const folder = join(directory, 'ruler');
  const manifest = await manifestIn(folder);
  expect(manifest.name).toBe('@you/nbd-plugin-ruler');
  const readme = await readFile(join(folder, 'README.md'), 'utf8');
  expect(readme).toContain('npm install @nbd/server @you/nbd-plugin-ruler\n');
  expect(readme).toContain('npx nbd-serve @you/ruler 1M\n');
  expect(await readFile(join(folder, 'src/index.ts'), 'utf8')).toContain("name: 'ruler'");
  for (const file of ['README.md', 'package.json', 'src/index.ts', 'src/index.test.ts']) {
    expect(await readFile(join(folder, file), 'utf8')).not.toContain('my-disk');
  }
});

test.each([
  ['my-disk', 'nbd-plugin-my-disk', 'my-disk'],
  ['plugin-ruler', 'nbd-plugin-ruler', 'plugin-ruler'],
  ['nbd-plugin-ruler', 'nbd-plugin-ruler', 'nbd-plugin-ruler'],
  ['some/where/ruler', 'nbd-plugin-ruler', 'some/where/ruler'],
  ['@you/nbd-plugin-ruler', '@you/nbd-plugin-ruler', 'nbd-plugin-ruler'],
])('%s is the package %s in %s', async (place, packageName, folder) => {
  await create(place);
  expect((await manifestIn(join(directory, folder))).name).toBe(packageName);
});

test('without a name, it is my-disk: nobody is asked where there is no terminal', async () => {
  await create();
  expect((await manifestIn(join(directory, 'my-disk'))).name).toBe('nbd-plugin-my-disk');
});

test('a directory with something in it is left as it is', async () => {
  await mkdir(join(directory, 'ruler'));
  await writeFile(join(directory, 'ruler', 'mine.txt'), 'mine');
  const { code, stderr } = await create('ruler');
  expect(code).toBe(1);
  expect(stderr).toContain('ruler is not empty');
  expect(await readdir(join(directory, 'ruler'))).toEqual(['mine.txt']);
});

describe('a name that no package can have is refused, and nothing is made', () => {
  test.each(['Ruler', '.ruler', '_ruler', 'a ruler', 'règle', '@You/ruler', `a${'b'.repeat(204)}`])(
    '%s',
    async (name) => {
      const { code, stderr } = await create(name);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^create-plugin: .*name of a package/);
      expect(await readdir(directory)).toEqual([]);
    },
  );
});

test.each([[['one', 'two']], [['--javascript', '--typescript']], [['--rust']]])(
  'wrong usage has exit code 2: %j',
  async (args) => {
    const { code, stderr } = await create(...args);
    expect(code).toBe(2);
    expect(stderr).toContain('npm create @nbd/plugin [NAME]');
    expect(await readdir(directory)).toEqual([]);
  },
);

test('the tools of a new package are those that this repository is built with', async () => {
  await create('ruler');
  const made = await manifestIn(join(directory, 'ruler'));
  const ours = await manifestIn(REPOSITORY);
  expect(made.devDependencies['typescript']).toBe(`^${ours.devDependencies['typescript']!}`);
  expect(made.devDependencies['@types/node']).toBe(ours.devDependencies['@types/node']);
});
