import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Installs what the lock file asks for and builds what has changed: seconds on a fresh clone, moments after that. Ends
 * the process with a message if that fails.
 */
export function setUp() {
  const { engines, packageManager } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const oldest = Number(/\d+/.exec(engines.node));
  if (Number.parseInt(process.versions.node) < oldest) {
    console.error(`Node ${oldest} or newer is needed; this is Node ${process.versions.node}.`);
    process.exit(1);
  }
  // Here turbo finds pnpm, which it asks for the list of packages.
  process.env['PATH'] = join(ROOT, 'node_modules', '.bin') + delimiter + process.env['PATH'];
  process.env['TURBO_TELEMETRY_DISABLED'] = '1';

  if (!isInstalled()) {
    console.error('Installing dependencies …');
    // A node_modules of another layout is replaced without asking.
    run('npx', [
      '--yes',
      packageManager,
      'install',
      '--frozen-lockfile',
      '--config.confirmModulesPurge=false',
    ]);
    console.error('Building …');
  }
  run('turbo', ['run', 'compile', '--output-logs=errors-only']);
}

/** pnpm leaves a copy of the lock file that it has installed. */
function isInstalled() {
  const installed = join(ROOT, 'node_modules', '.pnpm', 'lock.yaml');
  return existsSync(installed) && readFileSync(installed).equals(readFileSync(join(ROOT, 'pnpm-lock.yaml')));
}

/**
 * Runs a program whose output is of interest only when it fails.
 *
 * @param {string} program
 * @param {readonly string[]} args
 */
function run(program, args) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 30,
  });
  if (status === 0) return;
  process.stderr.write(Buffer.concat([stdout ?? Buffer.of(), stderr ?? Buffer.of()]));
  console.error(`${[program, ...args].join(' ')} failed: ${error?.message ?? `exit code ${status}`}`);
  process.exit(1);
}
