import { isNbdError } from '@nbd/protocol';
import type { Filter, FilterModule, Log, Module, Plugin } from '@nbd/plugin';
import { loadFilter, loadPlugin } from '@nbd/plugin/load';
import { createServer, type NbdServer, type Twins } from '../server.js';
import type { CommandLine, FilterChoice, TlsChoice } from './command-line.js';
import { UsageError } from './usage-error.js';

/** Where modules are looked for. */
export const places = () => ({ cwd: process.cwd(), beside: import.meta.url });

/** A server of a plugin that is set up, with all that the command line says of it. */
export async function serverOf(
  plugin: Plugin,
  line: CommandLine,
  { log, twins }: { readonly log: Log; readonly twins?: Twins | undefined },
): Promise<NbdServer> {
  const tls = line.tls.mode === 'off' ? undefined : await tlsOf(line.tls);
  return createServer({
    plugin,
    exportName: line.exportName,
    readOnly: line.readOnly,
    limits: line.limits,
    lesser: line.lesser,
    log,
    ...(tls && { tls }),
    ...(twins && { twins }),
  });
}

/** The plugin, within its filters. */
export async function setUpAll(name: string, line: CommandLine, log: Log): Promise<Plugin> {
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
