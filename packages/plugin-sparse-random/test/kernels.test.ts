import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { compileKernels } from '../assembly/compile.js';

test('the kernels in WebAssembly are those of the sources in assembly/', async () => {
  const committed = await readFile(new URL('../src/kernels.generated.ts', import.meta.url), 'utf8');
  // Not toBe: the difference would fill the screen.
  expect(committed === (await compileKernels())).toBe(true);
}, 60_000);
