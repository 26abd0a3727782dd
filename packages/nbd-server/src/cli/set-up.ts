import { isNbdError } from '@nbd/protocol';
import type { Filter, FilterModule, Log, Module, Plugin } from '@nbd/plugin';
import { loadFilter, loadPlugin } from '@nbd/plugin/load';
import { createServer, type NbdServer, type Twins } from '../server.js';
import { describe } from '../session/printable.js';
import type { Task } from '../twins.js';
import { giveMemoryBack } from './give-memory-back.js';
import type { CommandLine, FilterChoice, TlsChoice } from './command-line.js';
import { UsageError } from './usage-error.js';

/** Where modules are looked for. */
export const places = () => ({ cwd: process.cwd(), beside: import.meta.url });

export interface SetUpOptions {
  readonly log: Log;
  /** For what plugin and filters have to say. */
  readonly pluginLog: Log;
  /** Starts others that serve the same. */
  readonly startTwins?: (plugin: Plugin) => Promise<Twins | undefined>;
}

/** The server of a command line, with its plugin and filters. */
export async function serverOf(line: Task, { log, pluginLog, startTwins }: SetUpOptions): Promise<NbdServer> {
  const tls = line.tls.mode === 'off' ? undefined : await tlsOf(line.tls);
  const plugin = await setUpAll(line.plugin, line, pluginLog);
  // A promise that a plugin has let go of is no reason to take everyone's disk away.
  process.on('unhandledRejection', (error) => {
    log.warn(`a rejection that nobody handled: ${describe(error)}`);
  });
  const twins = await startTwins?.(plugin);
  const server = createServer({
    plugin,
    exportName: line.exportName,
    readOnly: line.readOnly,
    limits: line.limits,
    lesser: line.lesser,
    log,
    ...(tls && { tls }),
    ...(twins && { twins }),
  });
  giveMemoryBack(server);
  return server;
}

/** The plugin, within its filters. */
async function setUpAll(name: string, line: CommandLine, log: Log): Promise<Plugin> {
  const filters: { module: FilterModule; choice: FilterChoice }[] = [];
  for (const choice of line.filters)
    filters.push({ module: await loadFilter(choice.name, places()), choice });
  const module = await loadPlugin(name, places());

  const made: Filter[] = [];
  let { readOnly } = line;
  for (const { module, choice } of filters) {
    made.push(await setUp(module, choice.words, readOnly, log));
    readOnly ||= module.onlyReads;
  }
  const plugin = await setUp(module, line.words, readOnly, log);
  return made.reduceRight((inner, filter) => filter(inner), plugin);
}

async function setUp<Made>(
  module: Module<never, Made>,
  words: readonly string[],
  readOnly: boolean,
  log: Log,
): Promise<Made> {
  try {
    return await module.fromArguments(words, {
      log,
      readOnly,
      cwd: process.cwd(),
      env: process.env,
    });
  } catch (error) {
    if (isNbdError(error) && error.code === 'EINVAL') throw new UsageError(error.message);
    throw error;
  }
}

async function tlsOf({ mode, certificates, psk, verifyPeer }: TlsChoice) {
  const { serverTlsOptions, tlsServer } = await import('@nbd/transport');
  const files = {
    verifyPeer,
    ...(certificates !== undefined && { certificates }),
    ...(psk !== undefined && { psk }),
  };
  return { require: mode === 'require', upgrade: tlsServer(await serverTlsOptions(files)) };
}
