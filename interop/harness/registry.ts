import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { collect, startChild } from './child.js';
import { run } from './run.js';
import { temporaryDirectory } from './temporary.js';
import { userEnvironment } from './user-environment.js';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const REGISTRY = fileURLToPath(new URL('../registry/', import.meta.url));

/** An npm registry on loopback, which ends with the scope. */
export interface Registry extends AsyncDisposable {
  readonly url: string;
  /** With it npm, npx and pnpm know this registry only, and have nothing in their cache. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Starts a registry that has what npm's has, for packages other than ours. */
export async function startRegistry(): Promise<Registry> {
  const directory = await temporaryDirectory();
  const { stdout: upstream } = await run('npm', ['config', 'get', 'registry'], { cwd: directory.path });
  await mkdir(directory.file('storage'));
  const { child, ended } = startChild(process.execPath, [
    `${REGISTRY}serve.js`,
    directory.file('storage'),
    upstream.trim(),
  ]);
  const stop = async () => {
    child.kill();
    await ended;
    await directory[Symbol.asyncDispose]();
  };
  const errors = collect(child.stderr);
  try {
    const [, url] = await collect(child.stdout).match(/registry at (\S+)/);
    const userconfig = directory.file('npmrc');
    // npm publishes with a token only, whatever it is.
    await writeFile(userconfig, `registry=${url}\n@nbd:registry=${url}\n${url!.slice(5)}:_authToken=any\n`);
    const environment = {
      ...userEnvironment,
      npm_config_registry: url,
      npm_config_userconfig: userconfig,
      npm_config_cache: directory.file('cache'),
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    };
    return { url: url!, environment, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw new Error(`the registry does not start\n${errors.text()}`, { cause: error });
  }
}

/**
 * Publishes all packages of the repository as a release does.
 * @throws Error if they would go anywhere but to this machine
 */
export async function publishAll({ environment }: Pick<Registry, 'environment'>): Promise<void> {
  const options = { cwd: REPOSITORY, env: environment, timeout: LIMIT };
  for (const key of ['registry', '@nbd:registry']) {
    const { stdout } = await run('npm', ['config', 'get', key], options);
    const url = stdout.trim();
    if (!/^http:\/\/127\.0\.0\.1:\d+\/$/.test(url)) {
      throw new Error(`${key} is ${url}: only a registry on this machine is published to`);
    }
  }
  await run(PNPM, ['--recursive', '--filter=./packages/*', 'publish', '--no-git-checks'], options);
}

/** Makes the tarballs of all packages, as they are published. */
export async function packAll(directory: string): Promise<void> {
  const args = ['--recursive', '--filter=./packages/*', 'pack', '--pack-destination', directory];
  await run(PNPM, args, { cwd: REPOSITORY, timeout: LIMIT });
}

/** Milliseconds for all packages: npm starts for each of them. */
const LIMIT = 120_000;

const PNPM = `${REPOSITORY}node_modules/.bin/pnpm`;
