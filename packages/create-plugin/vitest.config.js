import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    name: '@nbd/create-plugin',
    // The template has tests of its own, for the package that is made of it.
    dir: fileURLToPath(new URL('test', import.meta.url)),
  },
});
