import { expect, test } from 'vitest';
import { nearest } from '../src/nearest.js';

const names = ['size', 'label', 'percent', 'skip-large', 'seed'];

test.each([
  ['sise', 'size'],
  ['Size', 'size'],
  ['lable', 'label'],
  ['skiplarge', 'skip-large'],
  ['skip_large', 'skip-large'],
  ['perc', 'percent'],
  ['percentage', 'percent'],
  ['see', 'seed'],
])('%s is near to %s', (word, name) => {
  expect(nearest(word, names)).toBe(name);
});

test.each(['colour', 'xyzzy', 'a', 'percussionist'])('%s is near to none', (word) => {
  expect(nearest(word, names)).toBeUndefined();
});
