import { expect, test } from 'vitest';
import { nameOf, packageNames, type Kind } from '../../src/load/package-names.js';

function names(kind: Kind, name: string): string[] {
  return packageNames(kind, name).map(nameOf);
}

test.each([
  ['floppy', ['@nbd/plugin-floppy', 'nbd-plugin-floppy']],
  ['plugin-floppy', ['@nbd/plugin-floppy', 'nbd-plugin-floppy']],
  ['sparse-random', ['@nbd/plugin-sparse-random', 'nbd-plugin-sparse-random']],
  ['nbd-plugin-x', ['nbd-plugin-x']],
  ['@scope/nbd-plugin-x', ['@scope/nbd-plugin-x']],
  ['@scope/x', ['@scope/nbd-plugin-x', '@scope/x']],
  ['@scope/plugin-x', ['@scope/nbd-plugin-x', '@scope/plugin-x']],
])('%s stands for %j', (name, expected) => {
  expect(names('plugin', name)).toEqual(expected);
});

test('a name in the official scope stands for nothing else', () => {
  expect(names('plugin', '@nbd/plugin-floppy')).toEqual(['@nbd/plugin-floppy']);
  expect(names('plugin', '@nbd/x')).toEqual(['@nbd/x']);
});

test('filters have names of their own kind', () => {
  expect(names('filter', 'delay')).toEqual(['@nbd/filters/delay', 'nbd-filter-delay']);
  expect(names('filter', 'filter-delay')).toEqual(['@nbd/filters/delay', 'nbd-filter-delay']);
  expect(names('filter', '@scope/delay')).toEqual(['@scope/nbd-filter-delay', '@scope/delay']);
  expect(names('filter', 'nbd-filter-delay')).toEqual(['nbd-filter-delay']);
});

test.each([
  '',
  'plugin-',
  '@scope',
  '@scope/',
  '@/x',
  'a/b',
  '@scope/a/b',
  '..',
  '.hidden',
  '../x',
  'a b',
  'a\\b',
  'data:x',
  '%2e',
])('%j is no name of a package', (name) => {
  expect(names('plugin', name)).toEqual([]);
});
