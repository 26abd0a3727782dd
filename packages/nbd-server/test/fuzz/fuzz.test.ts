import { expect, test } from 'vitest';
import { fuzz } from './fuzz-many.js';
import { fuzzSession } from './fuzz-session.js';

// A short run; `npm run fuzz -- --sessions 200000` is a long one. It prints the seed of a session that went wrong.
test(
  'sessions with any mutations, in any pieces, end, and leave nothing behind',
  { timeout: 120_000 },
  async () => {
    const seed = Date.now() >>> 0;
    await expect(fuzz(fuzzSession, 2000, seed), `seeds from ${seed}`).resolves.toBeDefined();
  },
);
