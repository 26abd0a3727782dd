// `npm run bench [-- OPTIONS CASE …]`: sets up, builds, and measures in this process, so that Ctrl-C reaches it.
import { setUp } from '../scripts/set-up.js';

setUp();

const { register } = await import('tsx/esm/api');
register();
await import('./src/main.ts');
