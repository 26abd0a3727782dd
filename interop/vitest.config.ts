import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    name: '@nbd/interop',
    // A peer starts in milliseconds, a Linux appliance in ten seconds.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
