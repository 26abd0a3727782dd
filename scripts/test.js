// `npm test [-- VITEST OPTIONS]`: sets up, builds, and runs all tests.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, setUp } from './set-up.js';
import { readReport, REPORT } from './test-report.js';

rmSync(REPORT, { force: true });
setUp();

const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
const options = [
  ...['--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`],
  // All of them share the processors, perhaps of a busy machine: slow is not wrong, only a test that hangs is.
  '--testTimeout=60000',
  // Vitest leaves one processor to others; many of these tests wait for a peer.
  '--maxWorkers=100%',
];
const { status } = spawnSync(process.execPath, [vitest, 'run', ...options, ...process.argv.slice(2)], {
  cwd: ROOT,
  stdio: 'inherit',
});

const report = readReport();
if (report !== undefined && report.skips.size > 0) {
  console.log('Skipped:');
  for (const [reason, count] of report.skips) console.log(`  ${count} × ${reason}`);
  console.log('scripts/install-peers.sh installs the programs that tests need.\n');
}
process.exitCode = status ?? 1;
