import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Some tests send tens of megabytes, on a machine that runs all the others at the same time.
  test: { name: '@nbd/server', testTimeout: 30_000 },
});
