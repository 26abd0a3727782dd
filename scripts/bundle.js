// `node scripts/bundle.js`: makes of each package's sources the few files that its `exports` and its programs name, and
// what these share, since Node takes about a millisecond for each file that it loads. The types are tsc's.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from './set-up.js';

const PACKAGES = join(ROOT, 'packages');

/** Files that start as threads: no manifest names them. */
const THREADS = ['plugin-sparse-random/dist/helper.js'];

await Promise.all(readdirSync(PACKAGES).map((folder) => bundle(join(PACKAGES, folder))));

/** @param {string} home a package's folder */
async function bundle(home) {
  const { metafile } = await build({
    absWorkingDir: home,
    entryPoints: entries(home).map((file) => file.replace('/dist/', '/src/').replace(/js$/, 'ts')),
    outbase: 'src',
    outdir: 'dist',
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'neutral',
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
}

/**
 * The files that are found by name.
 * @param {string} home
 */
function entries(home) {
  /** @type {{ exports: Record<string, { default?: string }>, bin?: Record<string, string> }} */
  const { exports, bin = {} } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  const modules = Object.values(exports).flatMap((module) => module.default ?? []);
  const programs = Object.values(bin).map((file) => {
    const [, module] = /from '\.\.\/(.*)'/.exec(readFileSync(join(home, file), 'utf8')) ?? [];
    return `./${module}`;
  });
  const threads = THREADS.map((file) => join(PACKAGES, file)).filter((file) => file.startsWith(`${home}/`));
  return [...modules, ...programs, ...threads];
}
