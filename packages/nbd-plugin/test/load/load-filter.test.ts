import { expect, test } from 'vitest';
import { loadFilter } from '../../src/load/index.js';
import { filterSource, pluginSource, temporaryTree, type Tree } from './installation.js';

/** The package of official filters, with these in it. */
async function family(tree: Tree, directory: string, ...names: string[]): Promise<void> {
  const entries = names.map((name) => [`./${name}`, { types: './main.d.ts', default: './main.js' }] as const);
  const exports = { '.': './none.js', ...Object.fromEntries(entries), './package.json': './package.json' };
  await tree.package(directory, { exports }, filterSource(directory));
}

test('an official filter is a module of the package of filters beside the server, whatever is planted', async () => {
  const tree = await temporaryTree();
  const beside = await tree.server('app/node_modules/@nbd/server');
  await family(tree, 'app/node_modules/@nbd/filters', 'cow');
  await family(tree, 'work/node_modules/@nbd/filters', 'cow');
  for (const planted of ['@nbd/filter-cow', 'nbd-filter-cow', 'filter-cow', 'cow']) {
    await tree.package(`work/node_modules/${planted}`, undefined, filterSource(planted));
  }
  const options = { cwd: tree.path('work'), beside, globalRoots: [] };
  for (const name of ['cow', 'filter-cow']) {
    expect(await loadFilter(name, options)).toMatchObject({ description: 'app/node_modules/@nbd/filters' });
  }
});

test('filters of others are packages of their own', async () => {
  const tree = await temporaryTree();
  await family(tree, 'app/node_modules/@nbd/filters', 'cow');
  await tree.package('work/node_modules/nbd-filter-x', undefined, filterSource('mine'));
  await tree.package('work/node_modules/@scope/nbd-filter-y', undefined, filterSource('scoped'));
  const file = await tree.file('work/z.mjs', filterSource('file'));
  const options = {
    cwd: tree.path('work'),
    beside: await tree.server('app/node_modules/@nbd/server'),
    globalRoots: [],
  };
  expect(await loadFilter('x', options)).toMatchObject({ description: 'mine' });
  expect(await loadFilter('@scope/y', options)).toMatchObject({ description: 'scoped' });
  expect(await loadFilter(file, options)).toMatchObject({ description: 'file' });
});

test('a filter that is not there is answered with the names tried and with what was meant', async () => {
  const tree = await temporaryTree();
  await family(tree, 'app/node_modules/@nbd/filters', 'cow', 'delay');
  await tree.package('work/node_modules/nbd-filter-mirror', undefined, filterSource('mirror'));
  const options = {
    cwd: tree.path('work'),
    beside: await tree.server('app/node_modules/@nbd/server'),
    globalRoots: [],
  };
  await expect(loadFilter('dealy', options)).rejects.toMatchObject({
    code: 'ENOENT',
    message:
      "there is no filter 'dealy': tried @nbd/filters/dealy, then nbd-filter-dealy. Did you mean delay? " +
      'To install it: npm install nbd-filter-dealy',
  });
  await expect(loadFilter('miror', options)).rejects.toThrow('Did you mean mirror?');
});

test('a plugin is no filter', async () => {
  const tree = await temporaryTree();
  const file = await tree.file('x.mjs', pluginSource('a plugin'));
  const options = { cwd: tree.root, beside: await tree.server('app'), globalRoots: [] };
  await expect(loadFilter(file, options)).rejects.toThrow(
    `${file} is no NBD filter: its default export was not made by defineFilter of @nbd/plugin`,
  );
});
