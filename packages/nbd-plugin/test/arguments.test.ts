import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boolean, choice, definePlugin, integer, list, number, path, size, string } from '../src/index.js';
import type { Parameters, PluginHost, RestOption } from '../src/index.js';

/** The values that a plugin gets for these words. */
async function valuesOf(
  parameters: Parameters,
  words: readonly string[],
  rest: RestOption = false,
  host?: Partial<PluginHost>,
): Promise<unknown> {
  const setUps: unknown[] = [];
  const plugin = definePlugin({
    name: 'ruler',
    description: '',
    parameters,
    rest,
    setup: (values) => setUps.push(values),
    open: () => ({ size: 0n, read: () => undefined }),
  });
  await plugin.fromArguments(words, host);
  return setUps[0];
}

const ruler = {
  size: size({ required: true, positional: true, help: 'size of the disk' }),
  label: string({ positional: true, help: 'name of the disk' }),
  percent: number({ default: 10, min: 0, max: 100 }),
};

test('values are given by name or, if positional, by place', async () => {
  const expected = { size: 1n << 20n, label: 'x', percent: 10 };
  expect(await valuesOf(ruler, ['1M', 'x'])).toEqual(expected);
  expect(await valuesOf(ruler, ['size=1M', 'x'])).toEqual(expected);
  expect(await valuesOf(ruler, ['label=x', '1M'])).toEqual(expected);
  expect(await valuesOf(ruler, ['1M', 'label=x', 'percent=1e1'])).toEqual(expected);
});

test('a word is a value unless what stands before its first = looks like a name', async () => {
  const data = { data: string({ positional: true, required: true }) };
  for (const word of [
    '0 1 2 3',
    '( 0x55 )*4',
    '1=2',
    ' a=b',
    '"a"=b',
    '$a=b',
    '(a=b)',
    '=',
    '',
    '-x=1',
    'é=1',
    '@0x1fe 0x55',
  ]) {
    expect(await valuesOf(data, [word])).toEqual({ data: word });
  }
  expect(await valuesOf(data, ['data=a=b\nc'])).toEqual({ data: 'a=b\nc' });
  expect(await valuesOf(data, ['data='])).toEqual({ data: '' });
});

test('any text comes through unchanged, after its name', async () => {
  const texts = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      expect(await valuesOf({ data: string() }, [`data=${text}`])).toEqual({ data: text });
    }),
  );
});

test('free words go to rest, in their order, and known ones to their parameters', async () => {
  const words = ['a.b-c_1=x=y', 'label=l', '1M', '_=', 'constructor=c', '__proto__=p'];
  expect(await valuesOf(ruler, words, true)).toEqual({
    size: 1n << 20n,
    label: 'l',
    percent: 10,
    rest: new Map([
      ['a.b-c_1', 'x=y'],
      ['_', ''],
      ['constructor', 'c'],
      ['__proto__', 'p'],
    ]),
  });
  await expect(valuesOf(ruler, ['1M', 'a=1', 'a=2'], true)).rejects.toThrow('plugin-ruler: a is given twice');
});

test('a list takes its words by name and all that are left by place', async () => {
  const parameters = {
    size: size({ positional: true }),
    ids: list(integer({ min: 1 }), { positional: true }),
  };
  expect(await valuesOf(parameters, [])).toEqual({ size: undefined, ids: [] });
  expect(await valuesOf(parameters, ['ids=3', '1', '2', 'ids=5', '4'])).toEqual({
    size: 1n,
    ids: [3, 2, 5, 4],
  });
  await expect(valuesOf(parameters, ['1', '2', '0'])).rejects.toThrow('plugin-ruler: ids=0 is less than 1');
  await expect(valuesOf({ ids: list(integer(), { required: true }) }, [])).rejects.toThrow(
    'plugin-ruler: ids=INTEGER is missing',
  );
  expect(await valuesOf({ ids: list(integer(), { default: [7] }) }, [])).toEqual({ ids: [7] });
});

test.each([
  [['sise=1M'], "there is no parameter 'sise'. Did you mean size?"],
  [['1M', 'lable=x'], "there is no parameter 'lable'. Did you mean label?"],
  [['1M', 'Percent=5'], "there is no parameter 'Percent'. Did you mean percent?"],
  [['1M', 'perc=5'], "there is no parameter 'perc'. Did you mean percent?"],
  [
    ['1M', 'colour=5'],
    "there is no parameter 'colour'. Its parameters are size, label, percent. If it is a value, write size='colour=5'.",
  ],
  [['1M', 'toString=x'], /^there is no parameter 'toString'/],
  [['1M', 'x', 'y'], "nothing takes the word 'y'. Its parameters are size, label, percent."],
  [['1M', 'x', 'percnt'], "nothing takes the word 'percnt'. Did you mean percent=NUMBER?"],
  [['1M', 'size=2M'], "size is given twice: as '1M' and as '2M'"],
  [['percent=1', '1M', 'percent=1'], "percent is given twice: as '1' and as '1'"],
  [[], 'size=SIZE, or just SIZE, is missing: size of the disk'],
  [['1X'], /^size=1X is not a size/],
  [['1M', 'percent=150'], 'percent=150 is not between 0 and 100'],
  [['1M', 'percent=ten'], 'percent=ten is not a number'],
  [['1M', 'percent='], 'percent= is not a number'],
])('%j is refused', async (words, message) => {
  const refusal = await valuesOf(ruler, words).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(refusal).toMatchObject({ name: 'NbdError', code: 'EINVAL' });
  const text = (refusal as Error).message;
  expect(text.slice(0, 14)).toBe('plugin-ruler: ');
  if (typeof message === 'string') expect(text.slice(14)).toBe(message);
  else expect(text.slice(14)).toMatch(message);
});

test('a plugin without parameters says that it takes none', async () => {
  await expect(valuesOf({}, ['a=1'])).rejects.toThrow(
    "plugin-ruler: there is no parameter 'a'. It takes no parameters.",
  );
});

test('long words are cut in messages', async () => {
  const parameters = { percent: number() };
  const long = 'x'.repeat(1000);
  await expect(valuesOf(parameters, [`percent=${long}`])).rejects.toThrow(
    `percent=${'x'.repeat(60)}… is not a number`,
  );
  await expect(valuesOf(parameters, [long])).rejects.toThrow(`nothing takes the word '${'x'.repeat(60)}…'.`);
});

test.each([
  [boolean(), ['true', 'yes', 'on', '1', 'TRUE'], true],
  [boolean(), ['false', 'no', 'off', '0', 'No'], false],
  [integer(), ['255', '0xff', '0XFF', '+255', '00255'], 255],
  [integer({ min: -5 }), ['-5'], -5],
  [number(), ['2.5', '+2.5', '25e-1', '2.50'], 2.5],
  [number(), ['.5', '0.5', '5e-1'], 0.5],
  [choice(['mbr', 'none']), ['none'], 'none'],
  [size({ max: 4096n }), ['4k', '4096', '8s'], 4096n],
])('%j is read from %j', async (parameter, words, value) => {
  for (const word of words) expect(await valuesOf({ it: parameter }, [`it=${word}`])).toEqual({ it: value });
});

test.each([
  [boolean(), ['maybe', '', '2', 'truee'], 'is not true or false'],
  [
    integer(),
    ['', '1.5', '1e3', '0x', '--1', ' 1', '9007199254740992'],
    'is not a whole number within ±(2^53 - 1)',
  ],
  [integer({ max: 7 }), ['8'], 'is more than 7'],
  [number(), ['', '.', 'NaN', 'Infinity', '1e999', '1,5', '5%'], 'is not a number'],
  [choice(['mbr', 'none']), ['MBR', ''], 'is not one of mbr, none'],
  [size({ min: 4096n }), ['512'], 'is less than 4K'],
  [path(), [''], 'is not a path'],
])('%j refuses %j', async (parameter, words, problem) => {
  for (const word of words) {
    await expect(valuesOf({ it: parameter }, [`it=${word}`])).rejects.toThrow(
      `plugin-ruler: it=${word} ${problem}`,
    );
  }
});

test('paths are absolute from the working directory of the host, defaults as well', async () => {
  const parameters = { from: path({ positional: true }), to: path({ default: 'out' }), also: list(path()) };
  expect(await valuesOf(parameters, ['a.img', 'also=../b', 'also=/c'], false, { cwd: '/home/me' })).toEqual({
    from: '/home/me/a.img',
    to: '/home/me/out',
    also: ['/home/b', '/c'],
  });
});
