// `node scripts/bundle.js`: makes of each package's sources the few files that its `exports` and its programs name, and
// what these share, since Node takes about a millisecond for each file that it loads. The types are tsc's.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from './set-up.js';

const PACKAGES = join(ROOT, 'packages');

/**
 * @typedef {Readonly<Record<string, string>>} Names
 * @typedef {{
 *   exports: Record<string, { default?: string }>,
 *   bin?: Names,
 *   dependencies?: Names,
 *   optionalDependencies?: Names
 * }} Manifest
 */

/** Files that start as threads or processes: no manifest names them. */
const STARTED = ['plugin-sparse-random/dist/helper.js', 'nbd-server/dist/twin-process.js'];

await Promise.all(readdirSync(PACKAGES).map((folder) => bundle(join(PACKAGES, folder))));

/** @param {string} home a package's folder */
async function bundle(home) {
  /** @type {Manifest} */
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  const { metafile } = await build({
    absWorkingDir: home,
    entryPoints: entries(home, manifest).map((file) => file.replace('/dist/', '/src/').replace(/js$/, 'ts')),
    outbase: 'src',
    outdir: 'dist',
    bundle: true,
    // What a package does not depend on becomes part of it.
    external: ['node:*', ...Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })],
    format: 'esm',
    platform: 'neutral',
    mainFields: ['main'],
    target: 'node20',
    // What entries share exists once, and what is imported late stays in files of its own. Those are beside index.js:
    // what a module of src itself finds from its URL, it finds from there too.
    splitting: true,
    chunkNames: '[name]-[hash]',
    metafile: true,
    logLevel: 'warning',
  });
  for (const file of readdirSync(join(home, 'dist'), { recursive: true, encoding: 'utf8' })) {
    const isStale = file.endsWith('.js') && !(`dist/${file}` in metafile.outputs);
    if (isStale) rmSync(join(home, 'dist', file));
  }
  passOnLicences(home, Object.keys(metafile.inputs));
}

/**
 * Puts beside the code of others that became part of a package the licences under which it may.
 * @param {string} home
 * @param {readonly string[]} inputs paths of modules, from there
 */
function passOnLicences(home, inputs) {
  const others = new Set(
    inputs.flatMap((path) => /^.*\/node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []),
  );
  const licences = [...others].map((folder) => {
    const file = readdirSync(join(home, folder)).find((name) => /^licen[cs]e(\.\w+)?$/i.test(name));
    if (file === undefined)
      throw new Error(`${folder} has no licence file to pass on with ${basename(home)}`);
    const [name] = /(@[^/]+\/)?[^/]+$/.exec(folder) ?? [];
    return `${name}\n\n${readFileSync(join(home, folder, file), 'utf8').trim()}\n`;
  });
  // Named so that pnpm does not take it for the licence of the package, and leave that out.
  const notice = join(home, 'dist/third-party-notices.txt');
  if (licences.length > 0) writeFileSync(notice, licences.join('\n---\n\n'));
  else rmSync(notice, { force: true });
}

/**
 * The files that are found by name.
 * @param {string} home
 * @param {Manifest} manifest
 */
function entries(home, { exports, bin = {} }) {
  const modules = Object.values(exports).flatMap((module) => module.default ?? []);
  const programs = Object.values(bin).map((file) => {
    const [, module] = /from '\.\.\/(.*)'/.exec(readFileSync(join(home, file), 'utf8')) ?? [];
    return `./${module}`;
  });
  const started = STARTED.map((file) => join(PACKAGES, file)).filter((file) => file.startsWith(`${home}/`));
  return [...modules, ...programs, ...started];
}
