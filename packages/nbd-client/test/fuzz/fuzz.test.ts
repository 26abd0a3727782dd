import { expect, test } from 'vitest';
import { fuzz } from '../../../nbd-server/test/fuzz/fuzz-many.js';
import { fuzzSession } from './fuzz-session.js';

// A short run; `npm run fuzz -- --sessions 100000` is a long one. It prints the seed of a session that went wrong.
test(
  'sessions with servers that say anything end, and give no data that was not sent',
  { timeout: 120_000 },
  async () => {
    const seed = Date.now() >>> 0;
    await expect(fuzz(fuzzSession, 500, seed), `seeds from ${seed}`).resolves.toBeDefined();
  },
);
