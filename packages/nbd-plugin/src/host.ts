import type { Log, PluginHost } from './plugin.js';

/**
 * A whole host from what was given, for plugins that are used without a server: warnings go to the console, the rest
 * of the log nowhere. Every message gets `prefix` in front.
 */
export function hostWithDefaults(given: Partial<PluginHost> = {}, prefix: string): PluginHost {
  const process = (globalThis as { process?: Partial<NodeJS.Process> }).process;
  return {
    log: prefixed(given.log ?? CONSOLE, prefix),
    readOnly: given.readOnly ?? false,
    cwd: given.cwd ?? process?.cwd?.() ?? '/',
    env: given.env ?? process?.env ?? {},
  };
}

const CONSOLE: Log = {
  warn: (message) => {
    console.warn(message);
  },
  info: () => undefined,
  debug: () => undefined,
};

function prefixed(log: Log, prefix: string): Log {
  return {
    warn: (message) => {
      log.warn(prefix + message);
    },
    info: (message) => {
      log.info(prefix + message);
    },
    debug: (message) => {
      log.debug(prefix + message);
    },
  };
}
