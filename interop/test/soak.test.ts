import { expect, test } from 'vitest';
import { soak } from '../soak/run-soak.js';

// A short run; `npm run soak -- --minutes 10` is a long one, and looks at memory as well.
test.skipIf(process.platform !== 'linux')(
  'connections that come and go, some in the middle of a request, leave the right bytes and no file descriptor behind',
  async () => {
    const seed = Date.now() >>> 0;
    const { visits, descriptors } = await soak({ connections: 16, seed, goesOn: (visits) => visits < 150 });
    expect(visits).toBeGreaterThanOrEqual(150);
    expect(descriptors[1]).toBe(descriptors[0]);
  },
);
