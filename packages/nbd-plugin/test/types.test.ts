import { expect, expectTypeOf, test } from 'vitest';
import { boolean, choice, definePlugin, integer, list, number, path, size, string } from '../src/index.js';
import type { Plugin } from '../src/index.js';

const device = { size: 0n, read: () => undefined };

test('types of values follow from the parameters', () => {
  definePlugin({
    name: 'typed',
    description: '',
    parameters: {
      size: size({ required: true, positional: true, help: 'size of the disk' }),
      label: string({ help: 'label' }),
      percent: number({ default: 10, min: 0, max: 100 }),
      mode: choice(['mbr', 'none'], { default: 'mbr' }),
      'skip-large': boolean({ default: false }),
      add: list(path()),
      ids: list(integer({ min: 1 }), { required: true }),
      kind: choice(['a', 'b'], { required: true }),
      maybe: choice(['a', 'b']),
    },
    open(_request, values) {
      expectTypeOf(values).toEqualTypeOf<
        Readonly<{
          size: bigint;
          label: string | undefined;
          percent: number;
          mode: 'mbr' | 'none';
          'skip-large': boolean;
          add: readonly string[];
          ids: readonly number[];
          kind: 'a' | 'b';
          maybe: 'a' | 'b' | undefined;
        }>
      >();
      return device;
    },
  });
});

test('the type of the state follows from setup', () => {
  definePlugin({
    name: 'typed',
    description: '',
    parameters: { size: size({ required: true }) },
    async setup(parameters, host) {
      expectTypeOf(parameters.size).toEqualTypeOf<bigint>();
      host.log.debug('');
      return Promise.resolve({ table: [parameters.size] });
    },
    exports: (_connection, state) => state.table.map((size) => ({ name: size.toString() })),
    open(_request, state) {
      expectTypeOf(state).toEqualTypeOf<{ table: bigint[] }>();
      return device;
    },
    close(state) {
      expectTypeOf(state).toEqualTypeOf<{ table: bigint[] }>();
    },
  });
});

test('create takes what is required and what may be left out', async () => {
  const plugin = definePlugin({
    name: 'typed',
    description: '',
    parameters: { size: size({ required: true }), percent: number({ default: 1 }), label: string() },
    rest: true,
    open(_request, { rest }) {
      expectTypeOf(rest).toEqualTypeOf<ReadonlyMap<string, string>>();
      return device;
    },
  });
  type Input = Parameters<typeof plugin.create>[0];
  expectTypeOf<{ size: bigint }>().toExtend<Input>();
  expectTypeOf<{
    size: bigint;
    percent: number;
    label: string;
    rest: Map<string, string>;
  }>().toExtend<Input>();
  expectTypeOf<{ label: string }>().not.toExtend<Input>();
  expectTypeOf<{ size: number }>().not.toExtend<Input>();
  expectTypeOf<keyof Input>().toEqualTypeOf<'size' | 'percent' | 'label' | 'rest'>();
  const created = await plugin.create({ size: 1n });
  expectTypeOf(created).toEqualTypeOf<Plugin>();
  expect(created.name).toBe('plugin-typed');
});

test('a plugin without parameters takes no values', async () => {
  const plugin = definePlugin({ name: 'typed', description: '', open: () => device });
  expectTypeOf<keyof Parameters<typeof plugin.create>[0]>().toEqualTypeOf<never>();
  expect((await plugin.create({})).name).toBe('plugin-typed');
});

test('options that contradict each other or do not exist are refused', () => {
  // @ts-expect-error required and default
  size({ required: true, default: 1n });
  // @ts-expect-error no such option
  size({ requird: true });
  // @ts-expect-error not one of the words
  choice(['a'], { default: 'b' });
  // @ts-expect-error text has no limits
  string({ min: 1 });
});
