import { NbdError, overrideDevice, type BlockDevice } from '@nbd/protocol';
import { expect, expectTypeOf, test, vi } from 'vitest';
import {
  defineFilter,
  describeParameters,
  isFilterModule,
  isPluginModule,
  liftDevice,
  size,
} from '../src/index.js';
import type { Connection, OpenRequest, Plugin } from '../src/index.js';

const request = { exportName: '', readOnly: false };

/** A plugin of a class, as one that somebody else wrote may be. */
class Files implements Plugin {
  readonly name = 'plugin-files';
  readonly #names = ['a', 'b'];
  opened: OpenRequest[] = [];
  closed: string[] = [];

  exports(_connection: Connection) {
    return this.#names.map((name) => ({ name }));
  }

  open(request: OpenRequest): BlockDevice {
    this.opened.push(request);
    return { size: 8n, read: () => undefined, close: () => void this.closed.push(request.exportName) };
  }

  close() {
    this.closed.push('plugin');
  }
}

const shrink = defineFilter({
  name: 'shrink',
  version: '1.2.3',
  description: 'Takes bytes off the end',
  parameters: { by: size({ required: true, positional: true, help: 'how many' }) },
  setup({ by }, { log }) {
    expectTypeOf(by).toEqualTypeOf<bigint>();
    log.info('set up');
    return liftDevice((device) => {
      if (by > device.size) throw new NbdError('EINVAL', `there are only ${device.size} bytes`);
      return overrideDevice(device, { size: device.size - by });
    });
  },
});

test('a filter is set up from words or from values, like a plugin', async () => {
  const lines: string[] = [];
  const log = { warn: vi.fn(), info: (line: string) => void lines.push(line), debug: vi.fn() };
  for (const filter of [
    await shrink.fromArguments(['3'], { log }),
    await shrink.create({ by: 3n }, { log }),
  ]) {
    expect((await filter(new Files()).open(request)).size).toBe(5n);
  }
  expect(lines).toEqual(['filter-shrink: set up', 'filter-shrink: set up']);
  expect(describeParameters(shrink)).toMatchObject([{ name: 'by', type: 'SIZE', required: true }]);
  await expect(shrink.fromArguments(['x'])).rejects.toMatchObject({ code: 'EINVAL' });
  await expect(shrink.fromArguments([])).rejects.toThrow(/^filter-shrink: by=SIZE, or just SIZE, is missing/);
});

test('a lifted filter passes exports and close through, and closes what it opened', async () => {
  const files = new Files();
  const plugin = (await shrink.create({ by: 1n }))(files);
  expect(plugin.name).toBe('plugin-files');
  expect(await plugin.exports!(request)).toEqual([{ name: 'a' }, { name: 'b' }]);
  const device = await plugin.open({ ...request, exportName: 'b' });
  await device.close!();
  await plugin.close!();
  expect(files.closed).toEqual(['b', 'plugin']);
});

test('a device that the filter refuses is closed', async () => {
  const files = new Files();
  const plugin = (await shrink.create({ by: 9n }))(files);
  await expect(plugin.open({ ...request, exportName: 'a' })).rejects.toThrow('only 8 bytes');
  expect(files.closed).toEqual(['a']);
});

test('a filter that only reads opens the disk under it read-only', async () => {
  const files = new Files();
  const module = defineFilter({
    name: 'look',
    description: '',
    onlyReads: true,
    setup: () => liftDevice((device) => device),
  });
  expect(module.onlyReads).toBe(true);
  await (await module.create({}))(files).open(request);
  expect(files.opened).toEqual([{ exportName: '', readOnly: true }]);
});

test('filters and plugins are told from each other, whichever copy of the package made them', () => {
  expect(isFilterModule(shrink)).toBe(true);
  expect(isPluginModule(shrink)).toBe(false);
  expect(isFilterModule({ [Symbol.for('@nbd/plugin:FilterModule')]: true })).toBe(true);
  expect(isFilterModule(undefined)).toBe(false);
});

test.each(['Shrink', 'filter-shrink', ''])('%j is no name of a filter', (name) => {
  expect(() => defineFilter({ name, description: '', setup: () => (inner) => inner })).toThrow(TypeError);
});
