// A process with a captive server, which it tells the pid of. It ends as it is told.
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { connect, spawnServer } from '@nbd/client';

const server = fileURLToPath(new URL('zeroes-server.js', import.meta.url));
const captive = await spawnServer([process.execPath, server]);
const disk = await connect(captive);
await disk.read(0n, 1);
process.stdout.write(`${captive.pid}\n`);
process.stdin.once('data', () => {
  if (process.argv[2] === 'throw') throw new Error('as told');
  process.exit(0);
});
