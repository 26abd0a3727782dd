import { NbdError } from '@nbd/protocol';
import { delimiter, dirname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { stat } from 'node:fs/promises';
import { isPluginModule, PLUGIN_API_VERSION } from '../define-plugin.js';
import type { PluginModule } from '../define-plugin.js';
import { nearest } from '../nearest.js';
import { isOfficial, packageNames, shortName } from './package-names.js';
import { findPackageAbove, findPackageIn, packageEntry, packagesAbove } from './packages-on-disk.js';

/** Where plugins are looked for. */
export interface LoadOptions {
  /** The working directory: where files start, and where packages are looked for first that are not official. */
  readonly cwd: string;
  /** The module of the server (`import.meta.url`): official packages are looked for here first. */
  readonly beside: string | URL;
  /**
   * Directories that hold global packages, looked in last. Default: those of `NODE_PATH`, then those where npm, pnpm
   * and Yarn install them.
   */
  readonly globalRoots?: readonly string[];
}

/**
 * Loads the plugin that a name on the command line stands for: `floppy`, `plugin-floppy`, `nbd-plugin-x`, `@scope/x`,
 * `./file.js`, `/abs/file.js` or a `file:` URL.
 *
 * Every package name that it may stand for is looked for in all places before the next name is, and official ones
 * beside the server first: nothing that lies in the working directory takes the place of an official plugin.
 *
 * ```ts
 * const floppy = await loadPlugin('floppy', { cwd: process.cwd(), beside: import.meta.url });
 * const plugin = await floppy.fromArguments(['/dir']);
 * ```
 *
 * @throws NbdError ENOENT if there is none, with the names tried and how to install it; EINVAL if what was found does
 * not load, is no plugin or is made for another version of the plugin interface.
 */
export async function loadPlugin(name: string, options: LoadOptions): Promise<PluginModule> {
  const found = isFileName(name) ? await findFile(name, options.cwd) : await findInstalled(name, options);
  const plugin = await importDefault(found);
  if (!isPluginModule(plugin)) {
    throw new NbdError(
      'EINVAL',
      `${found.label} is no NBD plugin: its default export was not made by definePlugin of @nbd/plugin`,
    );
  }
  if (plugin.apiVersion !== PLUGIN_API_VERSION) {
    const older = plugin.apiVersion < PLUGIN_API_VERSION ? 'the plugin' : '@nbd/server';
    throw new NbdError(
      'EINVAL',
      `${found.label} is made for version ${plugin.apiVersion} of the plugin interface, and this is version ` +
        `${PLUGIN_API_VERSION}. Update ${older}`,
    );
  }
  return plugin;
}

/** A module that is to be loaded, and what to call it in messages. */
interface Found {
  readonly label: string;
  /** @throws if the package is broken. */
  url(): Promise<string>;
}

function isFileName(name: string): boolean {
  return /^\.\.?[\\/]/.test(name) || isAbsolute(name) || name.startsWith('file:');
}

async function findFile(name: string, cwd: string): Promise<Found> {
  const path = name.startsWith('file:') ? fileURLToPath(name) : resolve(cwd, name);
  const stats = await stat(path).catch(() => undefined);
  if (!stats) throw new NbdError('ENOENT', `there is no plugin ${path}: no such file`);
  if (stats.isDirectory())
    throw new NbdError('EINVAL', `${path} is a directory: name the plugin's file in it`);
  return { label: path, url: () => Promise.resolve(pathToFileURL(path).href) };
}

async function findInstalled(name: string, options: LoadOptions): Promise<Found> {
  const names = packageNames('plugin', name);
  if (names.length === 0) {
    throw new NbdError(
      'EINVAL',
      `'${name}' is not the name of a plugin. Names are like floppy, nbd-plugin-x or @scope/x; a file is named as ` +
        './file.js or /dir/file.js',
    );
  }
  const { cwd } = options;
  const server = dirname(fileURLToPath(asUrl(options.beside)));
  const inGlobal = async (packageName: string) =>
    findPackageIn(options.globalRoots ?? (await globalRoots()), packageName);
  for (const packageName of names) {
    const [first, second] = isOfficial(packageName) ? [server, cwd] : [cwd, server];
    const directory =
      (await findPackageAbove(first, packageName)) ??
      (await findPackageAbove(second, packageName)) ??
      (await inGlobal(packageName));
    if (directory !== undefined) {
      return { label: `${packageName} (${directory})`, url: () => packageEntry(directory) };
    }
  }
  throw notFound(name, names, await suggestion(name, [server, cwd]));
}

async function importDefault(found: Found): Promise<unknown> {
  try {
    const module = (await import(await found.url())) as { default?: unknown };
    return module.default;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new NbdError('EINVAL', `${found.label} was found, but does not load: ${why}`, { cause: error });
  }
}

async function globalRoots(): Promise<string[]> {
  const { default: directories } = await import('global-directory');
  const fromEnvironment = (process.env['NODE_PATH'] ?? '').split(delimiter).filter((root) => root !== '');
  return [...fromEnvironment, directories.npm.packages, directories.pnpm.packages, directories.yarn.packages];
}

async function suggestion(name: string, places: readonly string[]): Promise<string | undefined> {
  const prefixes = packageNames('plugin', 'x').map((packageName) => packageName.slice(0, -1));
  const installed = await Promise.all(places.map((place) => packagesAbove(place, prefixes)));
  return nearest(
    shortName('plugin', name),
    installed.flat().map((packageName) => shortName('plugin', packageName)),
  );
}

function notFound(name: string, names: readonly string[], near: string | undefined): NbdError {
  const advice = near === undefined ? '' : `Did you mean ${near}? `;
  const commands = names.map((packageName) => `npm install ${packageName}`).join(' or ');
  return new NbdError(
    'ENOENT',
    `there is no plugin '${name}': tried ${names.join(', then ')}. ${advice}To install it: ${commands}`,
  );
}

function asUrl(place: string | URL): string | URL {
  return place instanceof URL || place.startsWith('file:') ? place : pathToFileURL(place);
}
