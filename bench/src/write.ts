import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { CASES } from './cases/index.js';
import type { Machine } from './machine.js';
import type { Result } from './measure.js';
import { rowsOf } from './report.js';

const RESULTS = new URL('../results.json', import.meta.url);
const DOCUMENT = new URL('../../docs/performance.md', import.meta.url);

const START = '<!-- What npm run bench -- --write has measured: -->';
const END = '<!-- end -->';

interface Results {
  readonly machine: Machine;
  readonly results: readonly Result[];
}

/**
 * Keeps the results beside those of other cases, and puts all of them into the document. What was measured on another
 * machine, or with other versions, is dropped.
 */
export async function writeResults(machine: Machine, measured: readonly Result[]): Promise<void> {
  const known = await readResults();
  const isSame = JSON.stringify(known?.machine) === JSON.stringify(machine);
  const all = new Map(isSame ? known?.results.map((result) => [result.name, result]) : []);
  for (const result of measured) all.set(result.name, result);
  const results = CASES.flatMap(({ name }) => all.get(name) ?? []);
  await writePretty(RESULTS, JSON.stringify({ machine, results }));

  const text = await readFile(DOCUMENT, 'utf8');
  const [before, rest] = text.split(START);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined)
    throw new Error(`${DOCUMENT.pathname} has no place for results`);
  const tables = tablesOf({ machine, results });
  await writePretty(DOCUMENT, `${before}${START}\n\n${tables}\n\n${END}${after}`);
}

async function readResults(): Promise<Results | undefined> {
  try {
    return JSON.parse(await readFile(RESULTS, 'utf8')) as Results;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** As `npm run format` leaves it. */
async function writePretty(file: URL, text: string): Promise<void> {
  const options = await resolveConfig(file);
  await writeFile(file, await format(text, { ...options, filepath: file.pathname }));
}

function tablesOf({ machine, results }: Results): string {
  const { processor, kernel, node, peers } = machine;
  const lines = [
    `${processor}; ${kernel}; Node ${node}; ${peers.join(', ')}.`,
    '',
    '| case | | median (least – most) | ours is × | CPU seconds, server + client | memory |',
    '| --- | --- | --- | --- | --- | --- |',
  ];
  for (const result of results) {
    const each = CASES.find(({ name }) => name === result.name)!;
    rowsOf(each, result).forEach(({ name, figure, ratio, processor, memory }, at) => {
      const title = at === 0 ? `**${each.name}**: ${each.what}` : '';
      lines.push(`| ${[title, name, figure, ratio, processor, memory].join(' | ')} |`);
    });
  }
  return lines.join('\n');
}
