import { parseArgs } from 'node:util';
import { BASE_ALLOCATION, NbdError } from '@nbd/protocol';
import { isQuestion, type Question } from './questions.js';

/** What a person asked for. */
export type Request = { readonly server: Server; readonly json: boolean } & (
  | { readonly show: 'export' | 'list' | 'size' }
  | {
      readonly show: 'map';
      readonly context: string;
      readonly totals: boolean;
      /** Undefined: where it goes to a terminal. */
      readonly bar: boolean | undefined;
    }
  | { readonly show: 'answer'; readonly question: Question; readonly expected: boolean }
);

export type Server = { readonly uri: string } | { readonly command: readonly string[] };

/** @throws NbdError EINVAL for words that make no sense. */
export function parseArguments(words: readonly string[]): Request | 'help' | 'version' {
  const { options, server: givenServer } = splitServer(words);
  const { values, positionals } = parse(options);
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  const uris = positionals.map((uri) => ({ uri }));
  const servers: readonly Server[] = givenServer ? [givenServer, ...uris] : uris;
  const [server, ...others] = servers;
  if (server === undefined)
    throw wrong('there is no server to ask; give a URI, or a command in [ brackets ]');
  if (others.length > 0) throw wrong(`${positionals.at(-1)} is one server too many`);

  const common = { server, json: values.json === true };
  const questions = (['can', 'cannot', 'is', 'isnt'] as const).filter((name) => values[name] !== undefined);
  const shows = [
    ...(['list', 'size', 'map'] as const).filter((name) => values[name] !== undefined),
    ...questions,
  ];
  if (shows.length > 1) throw wrong(`--${shows[0]} and --${shows[1]} do not go together`);
  if (values.map === undefined && (values.totals ?? values.bar) !== undefined) {
    throw wrong('--totals and --bar go with --map');
  }
  const [name] = questions;
  if (name !== undefined) {
    const question = values[name]!;
    if (!isQuestion(question)) throw wrong(`--${name} ${question} is not known; see nbd-info --help`);
    return { ...common, show: 'answer', question, expected: name === 'can' || name === 'is' };
  }
  if (values.map !== undefined) {
    return { ...common, show: 'map', context: values.map, totals: values.totals === true, bar: values.bar };
  }
  return { ...common, show: values.list === true ? 'list' : values.size === true ? 'size' : 'export' };
}

/** Takes `[ command … ]` from the end. */
function splitServer(words: readonly string[]): { options: string[]; server: Server | undefined } {
  const open = words.indexOf('[');
  if (open < 0) return { options: [...words], server: undefined };
  if (words.at(-1) !== ']') throw wrong('[ has no ] at the end');
  const command = words.slice(open + 1, -1);
  if (command.length === 0) throw wrong('[ ] is empty');
  const options = words.slice(0, open);
  if (options.at(-1) === '--') options.pop();
  return { options, server: { command } };
}

function parse(words: string[]) {
  try {
    return parseArgs({
      // nbdinfo's --map may stand without a value, which parseArgs does not know.
      args: words.map((word) => (word === '--map' ? `--map=${BASE_ALLOCATION}` : word)),
      allowPositionals: true,
      allowNegative: true,
      options: {
        json: { type: 'boolean' },
        list: { type: 'boolean', short: 'L' },
        size: { type: 'boolean' },
        map: { type: 'string' },
        totals: { type: 'boolean' },
        bar: { type: 'boolean' },
        can: { type: 'string' },
        cannot: { type: 'string' },
        is: { type: 'string' },
        isnt: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'V' },
      },
    });
  } catch (error) {
    throw wrong((error as Error).message);
  }
}

function wrong(message: string): NbdError {
  return new NbdError('EINVAL', message);
}
