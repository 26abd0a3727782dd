import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { loadPlugin } from '../../src/load/index.js';
import { pluginSource, temporaryTree } from './installation.js';

const run = promisify(execFile);

test('an official plugin is found beside the server', async () => {
  const tree = await temporaryTree();
  const beside = await tree.server('app/node_modules/@nbd/server');
  await tree.package('app/node_modules/@nbd/plugin-floppy');
  const options = { cwd: tree.path('elsewhere'), beside, globalRoots: [] };
  for (const name of ['floppy', 'plugin-floppy', '@nbd/plugin-floppy']) {
    expect(await loadPlugin(name, options)).toMatchObject({
      description: 'app/node_modules/@nbd/plugin-floppy',
    });
  }
});

test('what is planted in the working directory does not take the place of an official plugin', async () => {
  const tree = await temporaryTree();
  const beside = pathToFileURL(await tree.server('app/node_modules/@nbd/server'));
  await tree.package('app/node_modules/@nbd/plugin-floppy');
  const planted = [
    '@nbd/plugin-floppy',
    'nbd-plugin-floppy',
    '@nbd/nbd-plugin-floppy',
    'plugin-floppy',
    'floppy',
  ];
  for (const name of [...planted, '@nbd/nbd-plugin-plugin-floppy']) {
    await tree.package(`work/node_modules/${name}`);
  }
  await tree.package('work', { name: '@nbd/plugin-floppy', exports: './main.js' });
  const options = { cwd: tree.path('work'), beside, globalRoots: [] };
  for (const name of ['floppy', 'plugin-floppy', '@nbd/plugin-floppy']) {
    expect(await loadPlugin(name, options)).toMatchObject({
      description: 'app/node_modules/@nbd/plugin-floppy',
    });
  }
});

test('an official plugin among global packages comes before a stranger of the same short name', async () => {
  const tree = await temporaryTree();
  const beside = await tree.server('app/node_modules/@nbd/server');
  await tree.package('work/node_modules/nbd-plugin-floppy');
  await tree.package('global/@nbd/plugin-floppy');
  const options = { cwd: tree.path('work'), beside, globalRoots: [tree.path('global')] };
  expect(await loadPlugin('floppy', options)).toMatchObject({ description: 'global/@nbd/plugin-floppy' });
});

test('other plugins are looked for in the working directory, then beside the server, then among global ones', async () => {
  const tree = await temporaryTree();
  const beside = await tree.server('app/node_modules/@nbd/server');
  const options = {
    cwd: tree.path('work/deep/down'),
    beside,
    globalRoots: [tree.path('none'), tree.path('global')],
  };
  const places = ['global/nbd-plugin-x', 'app/node_modules/nbd-plugin-x', 'work/node_modules/nbd-plugin-x'];
  for (const place of places) {
    await tree.package(place);
    expect(await loadPlugin('x', options)).toMatchObject({ description: place });
    expect(await loadPlugin('nbd-plugin-x', options)).toMatchObject({ description: place });
  }
});

test('a scoped name is first tried with nbd-plugin-', async () => {
  const tree = await temporaryTree();
  const options = {
    cwd: tree.path('work'),
    beside: await tree.server('app'),
    globalRoots: [tree.path('global')],
  };
  await tree.package('work/node_modules/@scope/x');
  expect(await loadPlugin('@scope/x', options)).toMatchObject({ description: 'work/node_modules/@scope/x' });
  await tree.package('global/@scope/nbd-plugin-x');
  expect(await loadPlugin('@scope/x', options)).toMatchObject({ description: 'global/@scope/nbd-plugin-x' });
});

test("pnpm's layout of symbolic links is followed", async () => {
  const tree = await temporaryTree();
  const store = 'app/node_modules/.pnpm/@nbd+server@1.0.0/node_modules';
  const beside = await tree.server(`${store}/@nbd/server`);
  await tree.package('app/node_modules/.pnpm/@nbd+plugin-floppy@1.0.0/node_modules/@nbd/plugin-floppy');
  await tree.link(
    `${store}/@nbd/plugin-floppy`,
    'app/node_modules/.pnpm/@nbd+plugin-floppy@1.0.0/node_modules/@nbd/plugin-floppy',
  );
  await tree.package('app/node_modules/.pnpm/nbd-plugin-x@1.0.0/node_modules/nbd-plugin-x', {
    main: 'main.js',
  });
  await tree.link(
    'app/node_modules/nbd-plugin-x',
    'app/node_modules/.pnpm/nbd-plugin-x@1.0.0/node_modules/nbd-plugin-x',
  );
  const options = { cwd: tree.path('elsewhere'), beside, globalRoots: [] };
  expect((await loadPlugin('floppy', options)).description).toMatch(/plugin-floppy$/);
  expect((await loadPlugin('x', options)).description).toMatch(/nbd-plugin-x$/);
});

test.each([
  ['exports for import only', { exports: { import: './main.js' } }],
  ['exports with types first', { exports: { '.': { types: './main.d.ts', default: './main.js' } } }],
  ['exports that differ by condition', { exports: { node: './main.js', default: './for-browsers.js' } }],
  ['main', { main: './main.js' }],
  ['another name than the one it is installed under', { name: 'original', exports: { import: './main.js' } }],
])('a package may have %s', async (_what, manifest) => {
  const tree = await temporaryTree();
  await tree.package('work/node_modules/nbd-plugin-x', manifest);
  await tree.package('global/nbd-plugin-y', manifest);
  const options = {
    cwd: tree.path('work'),
    beside: await tree.server('app'),
    globalRoots: [tree.path('global')],
  };
  expect(await loadPlugin('x', options)).toMatchObject({ description: 'work/node_modules/nbd-plugin-x' });
  expect(await loadPlugin('y', options)).toMatchObject({ description: 'global/nbd-plugin-y' });
});

test('an author may name the package that he stands in', async () => {
  const tree = await temporaryTree();
  await tree.package('work', { name: 'nbd-plugin-x', exports: './main.js' });
  const options = { cwd: tree.path('work/src'), beside: await tree.server('app'), globalRoots: [] };
  expect(await loadPlugin('x', options)).toMatchObject({ description: 'work' });
});

test('files are named by path or URL', async () => {
  const tree = await temporaryTree();
  const file = await tree.file('work/my plugin.mjs', pluginSource('mine'));
  const options = { cwd: tree.path('work/deep'), beside: await tree.server('app'), globalRoots: [] };
  for (const name of ['../my plugin.mjs', './../my plugin.mjs', file, pathToFileURL(file).href]) {
    expect(await loadPlugin(name, options)).toMatchObject({ description: 'mine' });
  }
});

test('global packages are found through NODE_PATH and the prefix of npm', async () => {
  const tree = await temporaryTree();
  await tree.package('path/nbd-plugin-x');
  const globals = process.platform === 'win32' ? 'prefix/node_modules' : 'prefix/lib/node_modules';
  await tree.package(`${globals}/nbd-plugin-y`);
  const beside = await tree.server('app');
  await tree.file('work/.keep', '');
  const script = `
    import { loadPlugin } from ${JSON.stringify(new URL('../../dist/load/index.js', import.meta.url).href)};
    for (const name of ['x', 'y']) {
      const plugin = await loadPlugin(name, { cwd: process.cwd(), beside: ${JSON.stringify(beside)} });
      console.log(plugin.description);
    }
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: tree.path('work'),
    env: { PATH: process.env['PATH'], NODE_PATH: tree.path('path'), npm_config_prefix: tree.path('prefix') },
  });
  expect(stdout.split(/\r?\n/)).toEqual(['path/nbd-plugin-x', `${globals}/nbd-plugin-y`, '']);
});

test('a plugin that is not there is answered with the names tried and how to install it', async () => {
  const tree = await temporaryTree();
  const beside = await tree.server('app/node_modules/@nbd/server');
  await tree.package('app/node_modules/@nbd/plugin-floppy');
  const options = { cwd: tree.path('work'), beside, globalRoots: [] };
  await expect(loadPlugin('tape', options)).rejects.toMatchObject({
    code: 'ENOENT',
    message:
      "there is no plugin 'tape': tried @nbd/plugin-tape, then nbd-plugin-tape. " +
      'To install it: npm install @nbd/plugin-tape or npm install nbd-plugin-tape',
  });
  await expect(loadPlugin('nbd-plugin-tape', options)).rejects.toThrow(
    /To install it: npm install nbd-plugin-tape$/,
  );
  await expect(loadPlugin('plugin-flopy', options)).rejects.toThrow(/Did you mean floppy\? To install/);
});

test('a file that is not there, a directory and a name that can be none say so', async () => {
  const tree = await temporaryTree();
  const options = { cwd: tree.root, beside: await tree.server('app'), globalRoots: [] };
  await expect(loadPlugin('./none.js', options)).rejects.toMatchObject({
    code: 'ENOENT',
    message: `there is no plugin ${tree.path('none.js')}: no such file`,
  });
  await expect(loadPlugin('./app', options)).rejects.toThrow(`${tree.path('app')} is a directory`);
  await expect(loadPlugin('dir/file.js', options)).rejects.toThrow(
    /'dir\/file.js' is not the name of a plugin.*\.\/file\.js/,
  );
});

test.each([
  ['throws while it loads', { exports: './main.js' }, "throw new Error('out of cheese')", 'out of cheese'],
  [
    'misses a dependency',
    { exports: './main.js' },
    "import 'no-such-package'",
    "Cannot find package 'no-such-package'",
  ],
  ['was not built', { exports: './dist/main.js' }, '', 'Cannot find module'],
  ['has no entry point', { exports: { './other': './main.js' } }, '', 'No "exports" main defined'],
  [
    "exports another package's file",
    { exports: './node_modules/y/main.js' },
    '',
    'Invalid "exports" main target',
  ],
  ['has a main that is missing', { main: './dist/main.js' }, '', 'Cannot find module'],
])(
  'a plugin that %s is found but broken, and nothing else is tried',
  async (_what, manifest, source, why) => {
    const tree = await temporaryTree();
    const beside = await tree.server('app/node_modules/@nbd/server');
    await tree.package('app/node_modules/@nbd/plugin-x', manifest, source);
    await tree.package('work/node_modules/@nbd/plugin-x');
    await tree.package('work/node_modules/nbd-plugin-x');
    const loading = loadPlugin('x', { cwd: tree.path('work'), beside, globalRoots: [] });
    const directory = tree.path('app/node_modules/@nbd/plugin-x');
    await expect(loading).rejects.toMatchObject({ code: 'EINVAL', cause: expect.any(Error) as Error });
    await expect(loading).rejects.toThrow(`@nbd/plugin-x (${directory}) was found, but does not load: `);
    await expect(loading).rejects.toThrow(why);
  },
);

test.each([
  '',
  'export default 1',
  'export default { name: "x", apiVersion: 1, open() {} }',
  'export const plugin = 1',
])('a module that exports no plugin says so: %s', async (source) => {
  const tree = await temporaryTree();
  await tree.package('work/node_modules/nbd-plugin-x', { exports: './main.js' }, source);
  const options = { cwd: tree.path('work'), beside: await tree.server('app'), globalRoots: [] };
  await expect(loadPlugin('x', options)).rejects.toThrow(
    `nbd-plugin-x (${tree.path('work/node_modules/nbd-plugin-x')}) is no NBD plugin: its default export`,
  );
});

test.each([
  [2, '@nbd/server'],
  [0, 'the plugin'],
])(
  'a plugin for version %i of the interface says so, and that %s needs an update',
  async (apiVersion, update) => {
    const tree = await temporaryTree();
    const source = `export default { apiVersion: ${apiVersion}, [Symbol.for('@nbd/plugin:PluginModule')]: true }`;
    const file = await tree.file('x.mjs', source);
    const loading = loadPlugin(file, { cwd: tree.root, beside: await tree.server('app'), globalRoots: [] });
    await expect(loading).rejects.toThrow(
      `${file} is made for version ${apiVersion} of the plugin interface, and this is version 1. Update ${update}`,
    );
  },
);
