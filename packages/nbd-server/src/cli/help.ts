import {
  describeParameters,
  type FilterModule,
  type ParameterDescription,
  type PluginModule,
} from '@nbd/plugin';
import { LIMITS } from './limits.js';

const GENERAL = `nbd-serve: serves anything as a Network Block Device

Usage: nbd-serve [options] PLUGIN [VALUE | KEY=VALUE ...]

  nbd-serve plugin-floppy DIR          a directory as a disk, on nbd://localhost
  nbd-serve -U /tmp/sock plugin-memory 1G
  nbd-serve plugin-data '( 0x55 0xAA )*256' --run 'nbdcopy "$uri" - | hexdump -C'
  nbd-serve plugin-floppy --help       what a plugin takes

A plugin is a package (plugin-floppy is @nbd/plugin-floppy or nbd-plugin-floppy) or a file (./my-plugin.js).

Where to serve (default: port 10809 of 127.0.0.1 and ::1)
  -p, --port PORT            TCP port; 0 takes a free one
  -i, --ipaddr ADDRESS       address to listen on; 0.0.0.0 or :: for all
  -U, --unix PATH            Unix socket; - makes a private one
  -s, --single               one client, on standard input and output
                             (sockets given by LISTEN_FDS are used as they are)

What to serve
  -e, --exportname NAME      a name beside the empty one
  -r, --readonly             refuse to write
      --filter NAME[,VALUE | ,KEY=VALUE ...]
                             serve the plugin through a filter, such as cow; of several the first sees requests
                             first. --filter=NAME --help tells what it takes

How to run
      --run COMMAND          run a shell command with $uri, $nbd, $port, $unixsocket and $exportname set; end with
                             it, and with its exit code. Without a place above, on a private Unix socket
  -P, --pidfile FILE         write the process id there once connections are accepted
      --print-uri            print the URI on standard output
      --exit-with-parent     end when the process that started this one ends
  -t, --threads N            share connections out among N processes: plugin-file of one file, and
                             plugin-sparse-random, can do with more than 1, and are faster with 2 for clients with
                             several connections
  -v, --verbose              tell more
  -f, --foreground           always so; accepted for nbdkit's sake
  -h, --help   -V, --version

TLS
      --tls off|on|require   require, where there are certificates or keys; else off
      --tls-certificates DIR ca-cert.pem, server-cert.pem and server-key.pem
      --tls-verify-peer      only clients with a certificate signed by ca-cert.pem
      --tls-psk FILE         pre-shared keys, a line "name:hexadecimal key" each

Limits, each for one connection but the first
      --limit NAME=VALUE     may be given several times:
`;

const LESSER = `
To try clients with lesser servers
      --mask-handshake MASK  offer only these handshake flags
      --no-sr                no structured replies
      --no-mc                no meta contexts
      --no-eh                no extended headers

Exit codes: 0 done, 1 failed, 2 wrong usage; with --run that of the command.
`;

export function generalHelp(): string {
  const limits = Object.entries(LIMITS).map(([name, { help }]) => `         ${name.padEnd(19)} ${help}\n`);
  return GENERAL + limits.join('') + LESSER;
}

export function pluginHelp(plugin: PluginModule): string {
  const name = `plugin-${plugin.name}`;
  const usage = describeParameters(plugin).map((row) => optional(row, row.repeatable ? ' ...' : ''));
  return moduleHelp(plugin, name, [name, ...usage].join(' '));
}

export function filterHelp(filter: FilterModule): string {
  const usage = describeParameters(filter).map((row) => optional(row, '', ','));
  return moduleHelp(filter, `filter-${filter.name}`, `--filter=${filter.name}${usage.join('')} PLUGIN ...`);
}

/** `[size=SIZE]` */
function optional(row: ParameterDescription, after: string, before = ''): string {
  const word = before + (row.positional ? row.type : `${row.name}=${row.type}`) + after;
  return row.required ? word : `[${word}]`;
}

function moduleHelp(module: PluginModule | FilterModule, name: string, usage: string): string {
  const { version, description, examples } = module;
  const lines = describeParameters(module).map(({ name, type, positional, default: fallback, help }) => {
    const left = `${name}=${type}`;
    const notes = [
      positional ? `"${name}=" may be left out` : '',
      fallback === undefined ? '' : `default: ${fallback}`,
    ];
    const noted = notes.filter((note) => note !== '').join('; ');
    return `  ${left.padEnd(24)} ${help}${noted === '' ? '' : ` (${noted})`}`;
  });
  return [
    `${name}${version === undefined ? '' : ` ${version}`}: ${description}`,
    '',
    `Usage: nbd-serve [options] ${usage}`,
    ...(lines.length > 0 ? ['', ...lines] : []),
    ...(examples.length > 0 ? ['', 'Examples:', ...examples.map((example) => `  nbd-serve ${example}`)] : []),
    '',
    'nbd-serve --help lists the options of the server.',
    '',
  ].join('\n');
}
