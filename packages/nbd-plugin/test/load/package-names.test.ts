import { expect, test } from 'vitest';
import { packageNames } from '../../src/load/package-names.js';

test.each([
  ['floppy', ['@nbd/plugin-floppy', 'nbd-plugin-floppy']],
  ['plugin-floppy', ['@nbd/plugin-floppy', 'nbd-plugin-floppy']],
  ['sparse-random', ['@nbd/plugin-sparse-random', 'nbd-plugin-sparse-random']],
  ['nbd-plugin-x', ['nbd-plugin-x']],
  ['@scope/nbd-plugin-x', ['@scope/nbd-plugin-x']],
  ['@scope/x', ['@scope/nbd-plugin-x', '@scope/x']],
  ['@scope/plugin-x', ['@scope/nbd-plugin-x', '@scope/plugin-x']],
])('%s stands for %j', (name, names) => {
  expect(packageNames('plugin', name)).toEqual(names);
});

test('a name in the official scope stands for nothing else', () => {
  expect(packageNames('plugin', '@nbd/plugin-floppy')).toEqual(['@nbd/plugin-floppy']);
  expect(packageNames('plugin', '@nbd/x')).toEqual(['@nbd/x']);
});

test('filters have names of their own kind', () => {
  expect(packageNames('filter', 'delay')).toEqual(['@nbd/filter-delay', 'nbd-filter-delay']);
  expect(packageNames('filter', 'nbd-filter-delay')).toEqual(['nbd-filter-delay']);
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
  expect(packageNames('plugin', name)).toEqual([]);
});
