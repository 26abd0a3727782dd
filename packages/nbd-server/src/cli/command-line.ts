import { encodeString } from '@nbd/protocol';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { ServerLimits } from '../server.js';
import type { LesserServer } from '../session/handshake.js';
import { parseLimits } from './limits.js';
import { UsageError } from './usage-error.js';

/** What the command line asks for. */
export interface CommandLine {
  readonly help: boolean;
  readonly version: boolean;
  readonly plugin: string | undefined;
  /** The plugin's words. */
  readonly words: readonly string[];
  /** The first is the outermost: it sees requests first. */
  readonly filters: readonly FilterChoice[];
  readonly place: Place;
  readonly exportName: string;
  readonly readOnly: boolean;
  /** A shell command; the server ends with it. */
  readonly run: string | undefined;
  readonly pidFile: string | undefined;
  readonly printUri: boolean;
  readonly verbose: boolean;
  readonly exitWithParent: boolean;
  /** Processes among which connections are shared out, for plugins that can do with several. */
  readonly threads: number;
  readonly tls: TlsChoice;
  readonly limits: Partial<ServerLimits>;
  readonly lesser: LesserServer;
}

/** A filter's name, and its words. */
export interface FilterChoice {
  readonly name: string;
  readonly words: readonly string[];
}

/** Where clients come from. */
export type Place =
  | {
      readonly kind: 'tcp';
      readonly port: number;
      /** Both loopback addresses if absent. */ readonly address?: string;
    }
  | { readonly kind: 'unix'; readonly path: string }
  /** A Unix socket in a directory of its own, removed at the end. */
  | { readonly kind: 'private' }
  | { readonly kind: 'stdio' }
  /** Sockets that systemd, or who plays its part, has opened. */
  | { readonly kind: 'activation'; readonly count: number };

export interface TlsChoice {
  readonly mode: 'off' | 'on' | 'require';
  readonly certificates?: string;
  readonly psk?: string;
  readonly verifyPeer: boolean;
}

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
  port: { type: 'string', short: 'p' },
  ipaddr: { type: 'string', short: 'i' },
  unix: { type: 'string', short: 'U' },
  single: { type: 'boolean', short: 's' },
  exportname: { type: 'string', short: 'e' },
  readonly: { type: 'boolean', short: 'r' },
  filter: { type: 'string', multiple: true },
  run: { type: 'string' },
  pidfile: { type: 'string', short: 'P' },
  'print-uri': { type: 'boolean' },
  verbose: { type: 'boolean', short: 'v' },
  foreground: { type: 'boolean', short: 'f' },
  'exit-with-parent': { type: 'boolean' },
  threads: { type: 'string', short: 't' },
  tls: { type: 'string' },
  'tls-certificates': { type: 'string' },
  'tls-psk': { type: 'string' },
  'tls-verify-peer': { type: 'boolean' },
  limit: { type: 'string', multiple: true },
  'mask-handshake': { type: 'string' },
  'no-sr': { type: 'boolean' },
  'no-mc': { type: 'boolean' },
  'no-eh': { type: 'boolean' },
} satisfies ParseArgsConfig['options'];

/** Each takes the memory of a process. */
const MOST_THREADS = 64;

type Values = ReturnType<typeof parseWords>['values'];

/**
 * @param environment `LISTEN_FDS` and `LISTEN_PID` of it: socket activation
 * @throws UsageError
 */
export function parseCommandLine(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): CommandLine {
  const { values, positionals } = parseWords(args);
  const [plugin, ...words] = positionals;
  const noStructuredReplies = values['no-sr'] === true;
  return {
    help: values.help === true,
    version: values.version === true,
    plugin,
    words,
    filters: (values.filter ?? []).map(parseFilter),
    place: choosePlace(values, environment),
    exportName: parseExportName(values.exportname ?? ''),
    readOnly: values.readonly === true,
    run: values.run,
    pidFile: values.pidfile,
    printUri: values['print-uri'] === true,
    verbose: values.verbose === true,
    exitWithParent: values['exit-with-parent'] === true,
    threads: parseThreads(values.threads ?? '1'),
    tls: chooseTls(values),
    limits: parseLimits(values.limit ?? []),
    lesser: {
      noStructuredReplies,
      noMetaContexts: values['no-mc'] === true,
      noExtendedHeaders: values['no-eh'] === true,
      ...(values['mask-handshake'] !== undefined && { handshakeMask: parseMask(values['mask-handshake']) }),
    },
  };
}

function parseWords(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // Node's own words name the option and what is wrong with it.
    throw new UsageError(error instanceof Error ? error.message.split('. ')[0] : String(error));
  }
}

function choosePlace(
  values: Values,
  { LISTEN_PID, LISTEN_FDS }: Readonly<Record<string, string | undefined>>,
): Place {
  const { port, ipaddr, unix, single, run } = values;
  const isTcp = port !== undefined || ipaddr !== undefined;
  if (Number(isTcp) + Number(unix !== undefined) + Number(single === true) > 1) {
    throw new UsageError('--port or --ipaddr, --unix and --single are different places: choose one');
  }
  if (LISTEN_PID === String(process.pid) && /^[1-9]\d*$/.test(LISTEN_FDS ?? '')) {
    if (isTcp || unix !== undefined || single) {
      throw new UsageError(
        '--port, --ipaddr, --unix and --single have no meaning where LISTEN_FDS gives the sockets',
      );
    }
    return { kind: 'activation', count: Number(LISTEN_FDS) };
  }
  if (single) {
    if (run !== undefined)
      throw new UsageError('--single serves who started it: --run has no client to start');
    return { kind: 'stdio' };
  }
  if (unix === '-' || (run !== undefined && unix === undefined && !isTcp)) return { kind: 'private' };
  if (unix !== undefined) return { kind: 'unix', path: unix };
  return { kind: 'tcp', port: parsePort(port ?? '10809'), ...(ipaddr !== undefined && { address: ipaddr }) };
}

/** `NAME,VALUE,KEY=VALUE`: words between commas. Two commas are one within a word, as for qemu. */
function parseFilter(text: string): FilterChoice {
  const [name = '', ...words] = text
    .replaceAll(',,', '\0')
    .split(',')
    .map((word) => word.replaceAll('\0', ','));
  if (name === '') throw new UsageError(`--filter=${text}: which filter? For example: --filter=cow`);
  return { name, words };
}

function parseExportName(name: string): string {
  try {
    encodeString(name);
  } catch (error) {
    throw new UsageError(`--exportname: ${(error as Error).message}`);
  }
  return name;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new UsageError(`--port ${text}: a port is a number from 0 to 65535`);
  return port;
}

function parseThreads(text: string): number {
  const threads = Number(text);
  if (!/^\d+$/.test(text) || threads < 1 || threads > MOST_THREADS)
    throw new UsageError(`--threads ${text}: it is a number from 1 to ${MOST_THREADS}`);
  return threads;
}

function parseMask(text: string): number {
  const mask = Number(text);
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text) || mask > 0xffff) {
    throw new UsageError(`--mask-handshake ${text}: a mask is a number from 0 to 0xffff`);
  }
  return mask;
}

function chooseTls(values: Values): TlsChoice {
  const certificates = values['tls-certificates'];
  const psk = values['tls-psk'];
  const verifyPeer = values['tls-verify-peer'] === true;
  const hasKeys = certificates !== undefined || psk !== undefined;
  const mode = values.tls ?? (hasKeys ? 'require' : 'off');
  if (mode !== 'off' && mode !== 'on' && mode !== 'require') {
    throw new UsageError(`--tls=${mode}: it is off, on or require`);
  }
  if (mode !== 'off' && !hasKeys) {
    throw new UsageError(`--tls=${mode} needs --tls-certificates=DIR or --tls-psk=FILE`);
  }
  if (verifyPeer && certificates === undefined) {
    throw new UsageError(
      '--tls-verify-peer needs --tls-certificates=DIR, for the certificate of those who sign clients',
    );
  }
  return {
    mode,
    verifyPeer,
    ...(certificates !== undefined && { certificates }),
    ...(psk !== undefined && { psk }),
  };
}
