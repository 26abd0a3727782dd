import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The template has tests of its own, for the package that is made of it.
  test: { name: '@nbd/create-plugin', dir: 'test' },
});
