import { NbdError } from '@nbd/protocol';
import { stat } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { PLUGIN_API_VERSION } from '../define-module.js';
import { nearest } from '../nearest.js';
import { isOfficial, nameOf, officialFamily, packageNames, shortName } from './package-names.js';
import type { Kind, PackageName } from './package-names.js';
import {
  exportedSubpaths,
  findPackageAbove,
  findPackageIn,
  packageEntry,
  packagesAbove,
} from './packages-on-disk.js';

/** Where plugins and filters are looked for. */
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

/** What is to be loaded, and how it is known. */
export interface Wanted<M> {
  readonly kind: Kind;
  /** For a message: `floppy`. */
  readonly example: string;
  readonly madeBy: string;
  readonly is: (value: unknown) => value is M;
}

/**
 * Every package name that `name` may stand for is looked for in all places before the next name is, and official ones
 * beside the server first: nothing that lies in the working directory takes the place of an official one.
 * @throws NbdError ENOENT if there is none; EINVAL if what was found does not load or is not what is wanted.
 */
export async function loadByName<M extends { readonly apiVersion: number }>(
  { kind, example, madeBy, is }: Wanted<M>,
  name: string,
  options: LoadOptions,
): Promise<M> {
  const found = isFileName(name)
    ? await findFile(kind, name, options.cwd)
    : await findInstalled(kind, example, name, options);
  const module = await importDefault(found);
  if (!is(module)) {
    throw new NbdError(
      'EINVAL',
      `${found.label} is no NBD ${kind}: its default export was not made by ${madeBy} of @nbd/plugin`,
    );
  }
  if (module.apiVersion !== PLUGIN_API_VERSION) {
    const older = module.apiVersion < PLUGIN_API_VERSION ? `the ${kind}` : '@nbd/server';
    throw new NbdError(
      'EINVAL',
      `${found.label} is made for version ${module.apiVersion} of the plugin interface, and this is version ` +
        `${PLUGIN_API_VERSION}. Update ${older}`,
    );
  }
  return module;
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

async function findFile(kind: Kind, name: string, cwd: string): Promise<Found> {
  const path = name.startsWith('file:') ? fileURLToPath(name) : resolve(cwd, name);
  const stats = await stat(path).catch(() => undefined);
  if (!stats) throw new NbdError('ENOENT', `there is no ${kind} ${path}: no such file`);
  if (stats.isDirectory())
    throw new NbdError('EINVAL', `${path} is a directory: name the ${kind}'s file in it`);
  return { label: path, url: () => Promise.resolve(pathToFileURL(path).href) };
}

async function findInstalled(
  kind: Kind,
  example: string,
  name: string,
  options: LoadOptions,
): Promise<Found> {
  const names = packageNames(kind, name);
  if (names.length === 0) {
    throw new NbdError(
      'EINVAL',
      `'${name}' is not the name of a ${kind}. Names are like ${example}, nbd-${kind}-x or @scope/x; a file is named ` +
        'as ./file.js or /dir/file.js',
    );
  }
  const { cwd } = options;
  const server = dirname(fileURLToPath(asUrl(options.beside)));
  for (const wanted of names) {
    const places = isOfficial(wanted.package) ? [server, cwd] : [cwd, server];
    const directory = await findIn(places, wanted, options.globalRoots);
    if (directory !== undefined) {
      return {
        label: `${nameOf(wanted)} (${directory})`,
        url: () => packageEntry(directory, wanted.subpath),
      };
    }
  }
  throw notFound(kind, name, names, await suggestion(kind, name, [server, cwd]));
}

/** The directory of a package that has the module, in and above some places and then among global ones. */
async function findIn(
  places: readonly string[],
  { package: packageName, subpath }: PackageName,
  roots: readonly string[] | undefined,
): Promise<string | undefined> {
  const hasModule = async (directory: string | undefined) =>
    directory !== undefined &&
    (subpath === undefined || (await exportedSubpaths(directory)).includes(subpath));
  for (const place of places) {
    const directory = await findPackageAbove(place, packageName);
    if (await hasModule(directory)) return directory;
  }
  const directory = await findPackageIn(roots ?? (await globalRoots()), packageName);
  return (await hasModule(directory)) ? directory : undefined;
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

async function suggestion(kind: Kind, name: string, places: readonly string[]): Promise<string | undefined> {
  const family = officialFamily(kind);
  const prefixes = packageNames(kind, 'x')
    .filter(({ subpath }) => subpath === undefined)
    .map(({ package: packageName }) => packageName.slice(0, -1));
  const installed = await Promise.all(
    places.map(async (place) => {
      const directory = family === undefined ? undefined : await findPackageAbove(place, family);
      const members = directory === undefined ? [] : await exportedSubpaths(directory);
      return [...members, ...(await packagesAbove(place, prefixes)).map((found) => shortName(kind, found))];
    }),
  );
  return nearest(shortName(kind, name), installed.flat());
}

function notFound(
  kind: Kind,
  name: string,
  names: readonly PackageName[],
  near: string | undefined,
): NbdError {
  const advice = near === undefined ? '' : `Did you mean ${near}? `;
  const commands = names
    // A family of modules comes with the server: one that is not in it is not to be had by installing it.
    .filter(({ subpath }) => subpath === undefined)
    .map(({ package: packageName }) => `npm install ${packageName}`)
    .join(' or ');
  return new NbdError(
    'ENOENT',
    `there is no ${kind} '${name}': tried ${names.map(nameOf).join(', then ')}. ${advice}To install it: ${commands}`,
  );
}

function asUrl(place: string | URL): string | URL {
  return place instanceof URL || place.startsWith('file:') ? place : pathToFileURL(place);
}
