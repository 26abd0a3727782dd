import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { createPackage } from './create-package.js';
import { ownVersion, type Language } from './manifest.js';
import { namesOf } from './names.js';
import { ask } from './questions.js';

const USAGE = `npm create @nbd/plugin [NAME] [-- OPTIONS]

Makes a package with a plugin that turns anything into a disk: it builds, has tests, and can be served at once.
NAME is where it is made, and what it is called: my-disk, @you/my-disk or some/where/my-disk. What is not said is
asked for, on a terminal.

  -j, --javascript   in JavaScript
  -t, --typescript   in TypeScript, the default
  -y, --yes          ask nothing
  -h, --help   -V, --version
`;

/** Runs the program, and sets the exit code of the process. */
export async function main(args: readonly string[]): Promise<void> {
  const line = readCommandLine(args);
  if (typeof line === 'string') {
    process.stderr.write(`create-plugin: ${line}\n\n${USAGE}`);
    process.exitCode = 2;
  } else if (line.help) {
    process.stdout.write(USAGE);
  } else if (line.version) {
    process.stdout.write(`create-plugin ${await ownVersion()}\n`);
  } else {
    await create(line);
  }
}

/** What shells say of a program that Ctrl-C has ended. */
const INTERRUPTED = 130;

interface CommandLine {
  readonly help: boolean;
  readonly version: boolean;
  readonly yes: boolean;
  readonly place: string | undefined;
  readonly language: Language | undefined;
}

/** What is asked for, or what is wrong with it. */
function readCommandLine(args: readonly string[]): CommandLine | string {
  const options = {
    javascript: { type: 'boolean', short: 'j', default: false },
    typescript: { type: 'boolean', short: 't', default: false },
    yes: { type: 'boolean', short: 'y', default: false },
    help: { type: 'boolean', short: 'h', default: false },
    version: { type: 'boolean', short: 'V', default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const { javascript, typescript, ...rest } = values;
    const [place, another] = positionals;
    if (another !== undefined) return `one name is enough, not also ${another}`;
    if (javascript && typescript) return 'in JavaScript or in TypeScript?';
    const language = javascript ? 'javascript' : typescript ? 'typescript' : undefined;
    return { ...rest, place, language };
  } catch (error) {
    return (error as Error).message;
  }
}

async function create(line: CommandLine): Promise<void> {
  const isAsked = process.stdin.isTTY && !line.yes;
  const answers = isAsked ? await ask(line, { input: process.stdin, output: process.stderr }) : line;
  if (answers === undefined) {
    process.exitCode = INTERRUPTED;
    return;
  }
  const { place, language } = answers;
  try {
    const names = namesOf(place ?? 'my-disk');
    await createPackage(names, language ?? 'typescript');
    const directory = relative('', names.directory);
    const steps = [...(directory === '' ? [] : [`cd ${directory}`]), 'npm install', 'npm test', 'npm start'];
    process.stderr.write(`${names.packageName} is made. Now:\n\n  ${steps.join('\n  ')}\n\n`);
  } catch (error) {
    process.stderr.write(`create-plugin: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
