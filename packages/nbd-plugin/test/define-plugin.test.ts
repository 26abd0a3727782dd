import { readFile } from 'node:fs/promises';
import { NbdError } from '@nbd/protocol';
import { expect, test, vi } from 'vitest';
import type * as Library from '../src/index.js';
import {
  choice,
  definePlugin,
  describeParameters,
  isPluginModule,
  list,
  number,
  overridePlugin,
  path,
  size,
} from '../src/index.js';
import type { Log, Parameters, PluginDefinition } from '../src/index.js';

const emptyDevice = { size: 0n, read: () => undefined };
const request = { exportName: '', readOnly: false };

function ruler() {
  return definePlugin({
    name: 'ruler',
    version: '1.2.3',
    description: 'Bytes that count up',
    parameters: { size: size({ required: true, positional: true, help: 'size of the disk' }) },
    examples: ['plugin-ruler 1M'],
    open: (_request, { size }) => ({
      size,
      read(offset, into) {
        for (let i = 0; i < into.length; i++) into[i] = Number(offset & 0xffn) + i;
      },
    }),
  });
}

test('without setup, the parameters are what a plugin opens with', async () => {
  const plugin = await ruler().fromArguments(['1k']);
  expect(plugin.name).toBe('plugin-ruler');
  const device = await plugin.open(request);
  expect(device.size).toBe(1024n);
  const bytes = new Uint8Array(2);
  await device.read(258n, bytes);
  expect([...bytes]).toEqual([2, 3]);
  expect(plugin).not.toHaveProperty('exports');
  expect(plugin).not.toHaveProperty('close');
  expect(plugin).not.toHaveProperty('twin');
});

test('setup is called once, and its result is handed to all other methods', async () => {
  const calls: unknown[][] = [];
  const plugin = await definePlugin({
    name: 'p',
    description: '',
    parameters: { from: path({ required: true }) },
    setup: async ({ from }, host) => Promise.resolve({ from, readOnly: host.readOnly }),
    exports: (connection, state) => [{ name: connection.peer ?? '', description: state.from }],
    open(request, state) {
      calls.push(['open', request, state]);
      return emptyDevice;
    },
    twin: (state) => [`from=${state.from}`],
    close: (state) => void calls.push(['close', state]),
  }).create({ from: 'a' }, { cwd: '/dir', readOnly: true });

  expect(await plugin.exports!({ readOnly: false, peer: 'me' })).toEqual([
    { name: 'me', description: '/dir/a' },
  ]);
  const tls = { ...request, exportName: 'x', tls: { commonName: 'alice' } };
  await plugin.open(tls);
  expect(plugin.twin!()).toEqual(['from=/dir/a']);
  // What is changed about a plugin a twin would not have.
  expect(overridePlugin(plugin, {})).not.toHaveProperty('twin');
  await plugin.close!();
  const state = { from: '/dir/a', readOnly: true };
  expect(calls).toEqual([
    ['open', tls, state],
    ['close', state],
  ]);
});

test('an open that returns its device at once stays synchronous', async () => {
  const plugin = await ruler().create({ size: 1n });
  expect(plugin.open(request)).not.toBeInstanceOf(Promise);
});

test('create checks values as fromArguments checks words', async () => {
  const module = definePlugin({
    name: 'p',
    description: '',
    parameters: {
      size: size({ required: true, max: 4096n }),
      mode: choice(['a', 'b'], { default: 'a' }),
      ids: list(number({ min: 0 })),
    },
    open: () => emptyDevice,
  });
  const create = module.create.bind(module) as (values: Record<string, unknown>) => Promise<unknown>;
  await expect(create({})).rejects.toThrow('plugin-p: size=SIZE is missing');
  await expect(create({ size: 1 })).rejects.toThrow('plugin-p: size=1 is not a size in bytes (a bigint)');
  await expect(create({ size: 8192n })).rejects.toThrow('plugin-p: size=8192 is more than 4K');
  await expect(create({ size: 1n, mode: 'c' })).rejects.toThrow('plugin-p: mode=c is not one of a, b');
  await expect(create({ size: 1n, ids: 1 })).rejects.toThrow('plugin-p: ids is not an array');
  await expect(create({ size: 1n, ids: [1, -1] })).rejects.toThrow('plugin-p: ids=-1 is less than 0');
  await expect(create({ size: 1n, sise: 1n })).rejects.toThrow(
    "plugin-p: there is no parameter 'sise'. Did you mean size?",
  );
  await expect(create({ size: 1n, rest: new Map() })).rejects.toThrow("there is no parameter 'rest'");
});

test("an NbdError of setup gets the plugin's name in front, once; other errors stay as they are", async () => {
  const failing = (error: Error) =>
    definePlugin({
      name: 'p',
      description: '',
      setup: () => {
        throw error;
      },
      open: () => emptyDevice,
    }).fromArguments([]);
  await expect(failing(new NbdError('ENOENT', 'no /dir', { offset: 7n }))).rejects.toMatchObject({
    code: 'ENOENT',
    message: 'plugin-p: no /dir',
    offset: 7n,
  });
  await expect(failing(new NbdError('ENOENT', 'plugin-p: no /dir'))).rejects.toThrow(/^plugin-p: no \/dir$/);
  const bug = new TypeError('x is undefined');
  await expect(failing(bug)).rejects.toBe(bug);
});

test("messages reach the host's log with the plugin's name in front", async () => {
  const lines: string[] = [];
  const log: Log = {
    warn: (message) => void lines.push(`warn ${message}`),
    info: (message) => void lines.push(`info ${message}`),
    debug: (message) => void lines.push(`debug ${message}`),
  };
  const talkative = definePlugin({
    name: 'p',
    description: '',
    setup(_parameters, host) {
      host.log.warn('1');
      host.log.info('2');
      host.log.debug('3');
    },
    open: () => emptyDevice,
  });
  await talkative.create({}, { log });
  expect(lines).toEqual(['warn plugin-p: 1', 'info plugin-p: 2', 'debug plugin-p: 3']);

  const warn = vi.spyOn(console, 'warn').mockReturnValue();
  try {
    await talkative.create({});
    expect(warn.mock.calls).toEqual([['plugin-p: 1']]);
  } finally {
    warn.mockRestore();
  }
});

test('without a host, paths start at the working directory and the environment is that of the process', async () => {
  let seen: unknown;
  const module = definePlugin({
    name: 'p',
    description: '',
    parameters: { from: path({ default: '.' }) },
    setup: ({ from }, { cwd, env, readOnly }) => (seen = { from, cwd, env, readOnly }),
    open: () => emptyDevice,
  });
  await module.create({});
  expect(seen).toEqual({ from: process.cwd(), cwd: process.cwd(), env: process.env, readOnly: false });
});

test('plugins are recognised by their brand, whichever copy of the library made them', async () => {
  const copy = (await import(new URL('../dist/index.js', import.meta.url).href)) as typeof Library;
  const foreign = copy.definePlugin({ name: 'p', description: '', open: () => emptyDevice });
  expect(copy.definePlugin).not.toBe(definePlugin);
  expect(isPluginModule(foreign)).toBe(true);
  expect(isPluginModule(ruler())).toBe(true);
  expect(isPluginModule({ ...ruler() })).toBe(false);
  expect(isPluginModule(null)).toBe(false);
  expect(isPluginModule(undefined)).toBe(false);
});

test('parameters are described for help, in their order', () => {
  const module = definePlugin({
    name: 'p',
    description: '',
    parameters: {
      size: size({ required: true, positional: true, help: 'size of the disk' }),
      percent: number({ default: 10, min: 0, max: 100, help: 'how much of it is data' }),
      block: size({ default: 65536n, min: 512n }),
      mode: choice(['a', 'b'], { default: 'a' }),
      add: list(path(), { help: 'files to add' }),
    },
    rest: { help: 'variables' },
    open: () => emptyDevice,
  });
  const usual = { required: false, positional: false, repeatable: false, default: undefined, help: '' };
  expect(describeParameters(module)).toEqual([
    { ...usual, name: 'size', type: 'SIZE', required: true, positional: true, help: 'size of the disk' },
    { ...usual, name: 'percent', type: 'NUMBER', default: '10', help: 'how much of it is data (0 to 100)' },
    { ...usual, name: 'block', type: 'SIZE', default: '64K', help: 'at least 512' },
    { ...usual, name: 'mode', type: 'a|b', default: 'a' },
    { ...usual, name: 'add', type: 'PATH', repeatable: true, help: 'files to add' },
    { ...usual, name: 'KEY', type: 'VALUE', repeatable: true, help: 'variables' },
  ]);
});

test('what a plugin tells about itself is there to be read', () => {
  expect(ruler()).toMatchObject({
    apiVersion: 1,
    name: 'ruler',
    version: '1.2.3',
    description: 'Bytes that count up',
    examples: ['plugin-ruler 1M'],
    rest: false,
  });
});

test.each<[Partial<PluginDefinition<Parameters, boolean, unknown>>, string]>([
  [{ name: 'Ruler' }, "plugin name 'Ruler' is not a package name"],
  [{ name: 'plugin-ruler' }, "plugin name 'plugin-ruler': leave 'plugin-' out"],
  [{ parameters: { 'a b': size() } }, "plugin-p: parameter 'a b' is not a name"],
  [{ parameters: { rest: size() }, rest: true }, "plugin-p: with 'rest', no parameter may have that name"],
  [
    { parameters: { add: list(path(), { positional: true }), size: size({ positional: true }) } },
    "plugin-p: add takes all words: 'size' can't be positional too",
  ],
  [{ parameters: { percent: number({ default: 101, max: 100 }) } }, 'percent=101 is more than 100'],
])('a definition that can not work is refused: %j', (part, message) => {
  const definition = { name: 'p', description: '', open: () => emptyDevice, ...part };
  expect(() => definePlugin(definition)).toThrow(message);
});

test('the item of a list has no options that belong to the list', () => {
  expect(() => list(size({ default: 1n }))).toThrow(
    "'required', 'positional' and 'default' belong to the list",
  );
});

test('definePlugin needs nothing of Node', async () => {
  const [files, packages] = [new Set<string>(), new Set<string>()];
  const visit = async (file: URL): Promise<void> => {
    if (files.has(file.href)) return;
    files.add(file.href);
    const source = await readFile(file, 'utf8');
    for (const [, specifier = ''] of source.matchAll(/(?:from|import\(?)\s*["']([^"']+)["']/g)) {
      if (specifier.startsWith('./')) await visit(new URL(specifier, file));
      else packages.add(specifier);
    }
  };
  await visit(new URL('../dist/index.js', import.meta.url));
  expect([...packages]).toEqual(['@nbd/protocol']);
});
