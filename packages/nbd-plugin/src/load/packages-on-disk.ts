import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * The directory of a package, seen from `from` as Node sees it: the package that `from` lies in, if it has that name,
 * or else `node_modules/NAME` there or in a directory above.
 */
export async function findPackageAbove(from: string, packageName: string): Promise<string | undefined> {
  const own = await ownPackage(from);
  if (own?.name === packageName) return own.directory;
  for (const root of modulesAbove(from)) {
    const directory = join(root, packageName);
    if (await isDirectory(directory)) return directory;
  }
  return undefined;
}

/** The directory of a package among global ones, of which every root holds some. */
export async function findPackageIn(
  roots: readonly string[],
  packageName: string,
): Promise<string | undefined> {
  for (const root of roots) {
    const directory = join(root, packageName);
    if (await isDirectory(directory)) return directory;
  }
  return undefined;
}

/**
 * The URL of the module that a package's directory stands for, by its `exports` or its `main`; or of another one that
 * it exports.
 * @throws what reading or resolving throws: the package is there, but broken.
 */
export async function packageEntry(directory: string, subpath?: string): Promise<string> {
  const manifestUrl = pathToFileURL(join(directory, 'package.json'));
  const manifest = await readManifest(directory);
  if (manifest.exports === undefined || manifest.exports === null) {
    return pathToFileURL(createRequire(manifestUrl).resolve(directory)).href;
  }
  const plain = plainTarget(manifest.exports, subpath === undefined ? '.' : `./${subpath}`);
  if (plain !== undefined) return new URL(plain, manifestUrl).href;
  if (manifest.name === undefined) throw new Error(`${join(directory, 'package.json')} has no name`);
  // A package may import itself by its name: so its `exports` are found wherever the directory lies. `createRequire`
  // would refuse packages for `import` only, and `import.meta.resolve` ignores its second argument in Node 20.
  const { resolve } = await import('import-meta-resolve');
  return resolve(subpath === undefined ? manifest.name : `${manifest.name}/${subpath}`, manifestUrl.href);
}

/**
 * The file of an export that is the same for everyone, whatever conditions hold: `'./main.js'`, or
 * `{ types, default: './main.js' }` as our own packages have it. To load a resolver for these takes 8 ms, a tenth of the
 * time in which a server starts.
 */
function plainTarget(exports: unknown, path: string): string | undefined {
  const paths =
    typeof exports === 'string' ? { '.': exports } : (exports as Readonly<Record<string, unknown>>);
  let target = Object.hasOwn(paths, path) ? paths[path] : undefined;
  if (typeof target === 'object' && target !== null) {
    const conditions = Object.keys(target).filter((name) => name !== 'types');
    target = conditions.length === 1 ? (target as { default?: unknown }).default : undefined;
  }
  return typeof target === 'string' && PLAIN_FILE.test(target) ? target : undefined;
}

/** Others may have to be refused, or decoded. */
const PLAIN_FILE = /^\.(\/(?!node_modules\/)[\w-]+)+\.m?js$/;

/** What a package exports beside its main module: `cow` for `./cow`. Patterns and files are left out. */
export async function exportedSubpaths(directory: string): Promise<string[]> {
  const { exports } = await readManifest(directory).catch((): Manifest => ({}));
  if (typeof exports !== 'object' || exports === null) return [];
  return Object.keys(exports).flatMap((key) => /^\.\/([^*./]+)$/.exec(key)?.[1] ?? []);
}

/** Names of the packages in sight of `from` that start with one of `prefixes` (a prefix may have a scope). */
export async function packagesAbove(from: string, prefixes: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const root of modulesAbove(from)) {
    for (const prefix of prefixes) {
      const scope = prefix.includes('/') ? prefix.slice(0, prefix.indexOf('/') + 1) : '';
      const names = await readdir(join(root, scope)).catch(() => []);
      found.push(...names.map((name) => scope + name).filter((name) => name.startsWith(prefix)));
    }
  }
  return found;
}

interface Manifest {
  readonly name?: string;
  readonly exports?: unknown;
}

async function readManifest(directory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
}

/** The package that a directory lies in: that of the nearest `package.json`. */
async function ownPackage(
  from: string,
): Promise<{ directory: string; name: string | undefined } | undefined> {
  for (const directory of upwards(from)) {
    if (basename(directory) === 'node_modules') return undefined;
    const manifest = await readManifest(directory).catch(() => undefined);
    if (manifest) return { directory, name: manifest.name };
  }
  return undefined;
}

function* modulesAbove(from: string): Generator<string> {
  for (const directory of upwards(from)) {
    if (basename(directory) !== 'node_modules') yield join(directory, 'node_modules');
  }
}

function* upwards(from: string): Generator<string> {
  for (let directory = from; ; directory = dirname(directory)) {
    yield directory;
    if (dirname(directory) === directory) return;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
