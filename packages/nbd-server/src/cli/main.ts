import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { isNbdError } from '@nbd/protocol';
import type { Log, Plugin } from '@nbd/plugin';
import { loadFilter, loadPlugin } from '@nbd/plugin/load';
import type { NbdServer, Twins } from '../server.js';
import type { Task } from '../twins.js';
import { parseCommandLine, type CommandLine } from './command-line.js';
import { filterHelp, generalHelp, pluginHelp } from './help.js';
import { listen, type Listening } from './listening.js';
import { stderrLog } from './log.js';
import { places, serverOf } from './set-up.js';
import { UsageError } from './usage-error.js';

const PROGRAM = 'nbd-serve';

/** From the start: a parent that ends while the plugin is set up has ended all the same. */
const PARENT = process.ppid;

/** Runs the program, and sets the exit code of the process. */
export async function main(args: readonly string[]): Promise<void> {
  // Who reads the messages may leave before those who use the disks.
  process.stderr.on('error', () => undefined);
  try {
    process.exitCode = await run(parseCommandLine(args, process.env));
  } catch (error) {
    const message =
      isNbdError(error) || error instanceof UsageError ? error.message : describeUnexpected(error);
    process.stderr.write(`${/^(plugin|filter)-/.test(message) ? '' : `${PROGRAM}: `}${message}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

async function run(line: CommandLine): Promise<number> {
  if (line.version) {
    process.stdout.write(`${PROGRAM} ${version()}\n`);
    return 0;
  }
  if (line.help) {
    process.stdout.write(await helpOn(line));
    return 0;
  }
  if (line.plugin === undefined)
    throw new UsageError(`which plugin? For example: ${PROGRAM} plugin-floppy DIR. --help tells more`);
  const { plugin } = line;
  const log = stderrLog(line.verbose, `${PROGRAM}: `);
  const server = await serverOf(
    { ...line, plugin },
    {
      log,
      pluginLog: stderrLog(line.verbose),
      startTwins: (atWork) => twinsOf(atWork, { ...line, plugin }, log),
    },
  );
  try {
    return await serve(server, line);
  } finally {
    await server.close();
  }
}

/** Further processes, where they are asked for and the plugin can do with several. */
async function twinsOf(plugin: Plugin, line: Task, log: Log): Promise<Twins | undefined> {
  if (line.threads === 1 || line.place.kind === 'stdio') return undefined;
  const words = plugin.twin?.();
  if (words === undefined) {
    log.info(`${plugin.name} is served by one process: it has no --threads=${line.threads}`);
    return undefined;
  }
  const { startTwins } = await import('../twins.js');
  return startTwins(line.threads - 1, { ...line, words }, log);
}

async function helpOn({ plugin, filters }: CommandLine): Promise<string> {
  const texts = [];
  if (plugin !== undefined) texts.push(pluginHelp(await loadPlugin(plugin, places())));
  for (const { name } of filters) texts.push(filterHelp(await loadFilter(name, places())));
  return texts.length > 0 ? texts.join('\n') : generalHelp();
}

/** Serves until the end. @returns the exit code */
async function serve(server: NbdServer, line: CommandLine): Promise<number> {
  const { place } = line;
  // From the start: who finds the pid file may send a signal at once.
  const stopped = ending(line);
  if (place.kind === 'stdio') {
    if (process.stdout.isTTY)
      throw new UsageError('--single speaks NBD on standard output, and that is a terminal');
    await Promise.race([server.serve(process.stdin, process.stdout), stopped]);
    return 0;
  }
  const tls = line.tls.mode === 'require';
  const listening = await listen(server, place, { tls, exportName: line.exportName });
  try {
    announce(line, listening);
    if (line.pidFile !== undefined) await writePidFile(line.pidFile);
    if (line.run === undefined) {
      await stopped;
      return 0;
    }
    // Loaded when it is needed, as all is that takes long to load: starting programs does.
    const { exitCodeOf, startCommand } = await import('./run-command.js');
    const child = startCommand(line.run, listening, line.exportName);
    const killed = stopped.then(() => {
      child.kill();
      return 0;
    });
    return await Promise.race([exitCodeOf(child), killed]);
  } finally {
    // In this order: who sees the files gone may start the next server.
    await server.close();
    await listening.clean();
    if (line.pidFile !== undefined) await rm(line.pidFile, { force: true });
  }
}

function announce(line: CommandLine, { uri }: Listening): void {
  const what = [line.plugin, ...line.words].join(' ').replace(/\s+/g, ' ');
  const short = what.length > 60 ? `${what.slice(0, 60)}…` : what;
  const where = uri === undefined ? 'on a socket that was given' : `at ${uri}`;
  const filters = line.filters.map(({ name }) => name).join(', ');
  const through = filters === '' ? '' : ` through ${filters}`;
  const notes = line.readOnly ? ' (read-only)' : '';
  process.stderr.write(`${PROGRAM}: serving ${short}${through}${notes} ${where}\n`);
  if (!line.printUri) return;
  if (uri === undefined)
    throw new UsageError('--print-uri: the path of a Unix socket in LISTEN_FDS is not known');
  process.stdout.write(`${uri}\n`);
}

/** Appears with its content, for those who wait for it. */
async function writePidFile(file: string): Promise<void> {
  const unfinished = `${file}.${process.pid}`;
  await writeFile(unfinished, `${process.pid}\n`);
  await rename(unfinished, file);
}

/** How often to look whether the parent is still there, in milliseconds. */
const PARENT_CHECK = 250;

/** Settles when the server is to end. A second signal ends the process at once. */
async function ending({ exitWithParent }: CommandLine): Promise<void> {
  await new Promise<void>((resolve) => {
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) {
      process.once(signal, () => {
        // With no listener left, the next one has its usual effect.
        for (const other of signals) process.removeAllListeners(other);
        resolve();
      });
    }
    if (!exitWithParent) return;
    const timer = setInterval(() => {
      if (process.ppid === PARENT) return;
      clearInterval(timer);
      resolve();
    }, PARENT_CHECK).unref();
  });
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}

/** What nobody foresaw is worth its stack. */
function describeUnexpected(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
