import { parseArgs } from 'node:util';
import { CASES } from './cases/index.js';
import { describeMachine } from './machine.js';
import { measure, type Result } from './measure.js';
import { printTable } from './report.js';
import { writeResults } from './write.js';

const USAGE = `Usage: npm run bench -- [options] [CASE ...]

Measures our programs beside their peers, each in turn. All cases, or those named; "read" is all that begin with it.

  --list        list the cases
  --rounds N    how often each is run (default: 3)
  --json        print the results as JSON
  --write       put the results into docs/performance.md
`;

/** Children and temporary directories go with this process, in its 'exit' event. */
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => process.exit(code));
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n\n${USAGE}`);
    return 2;
  }
  const { cases, rounds, list, json, write, help } = options;
  if (help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (list) {
    for (const { name, what } of cases) console.log(`${name.padEnd(24)} ${what}`);
    return 0;
  }
  const machine = await describeMachine();
  const results: Result[] = [];
  for (const each of cases) {
    const result = await measure(each, rounds, showProgress);
    results.push(result);
    showProgress('');
    if (!json) printTable(each, result);
  }
  if (json) console.log(JSON.stringify({ machine, results }, undefined, 2));
  if (write) await writeResults(machine, results);
  return results.some(({ contenders }) => contenders[0]?.failure !== undefined) ? 1 : 0;
}

function readOptions(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        list: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '3' },
        json: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const rounds = Number(values.rounds);
    if (!Number.isInteger(rounds) || rounds < 1) return `--rounds ${values.rounds}: a whole number from 1`;
    const strange = positionals.find((start) => !CASES.some(({ name }) => name.startsWith(start)));
    if (strange !== undefined) return `There is no case ${strange}; --list lists them.`;
    const isWanted = (name: string) => positionals.some((start) => name.startsWith(start));
    const cases = positionals.length === 0 ? CASES : CASES.filter(({ name }) => isWanted(name));
    return { ...values, rounds, cases };
  } catch (error) {
    return (error as Error).message;
  }
}

/** One line that is written over, on a terminal. */
function showProgress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`);
}
