import { readFileSync } from 'node:fs';
import { formatUri, isNbdError, NbdError, parseUri } from '@nbd/protocol';
import { spawnServer } from '../captive.js';
import { connect } from '../connect.js';
import { info, listExports } from '../info.js';
import type { Target } from '../target.js';
import { parseArguments, type Request, type Server } from './arguments.js';
import { Bar } from './bar.js';
import { asJson, asText, type Described } from './describe.js';
import { toJson } from './json.js';
import { extentJson, extentLine, Totals } from './map.js';
import { Output, OutputClosed } from './output.js';
import { answer } from './questions.js';
import { USAGE } from './usage.js';

/** Exit codes as nbdinfo's. */
const YES = 0;
const ERROR = 1;
const NO = 2;

/** A person who types a URI may read our files. */
const TRUSTED = { allowUriFiles: true };

/**
 * Runs nbd-info.
 * @param words as on the command line
 * @returns the exit code: 0 for success and yes, 2 for no, 1 for an error
 */
export async function main(words: readonly string[]): Promise<number> {
  const out = new Output(process.stdout);
  try {
    const request = parseArguments(words);
    if (request === 'help') out.write(USAGE);
    else if (request === 'version') out.write(`nbd-info ${version()}\n`);
    else if (request.show === 'answer') return await answers(request);
    else await show(request, out);
    return YES;
  } catch (error) {
    if (error instanceof OutputClosed) return YES;
    process.stderr.write(`nbd-info: ${isNbdError(error) ? error.message : String(error)}\n`);
    return ERROR;
  }
}

async function show(request: Request, out: Output): Promise<void> {
  if (request.show === 'map') {
    await showMap(request, out);
  } else if (request.show === 'size') {
    const { size } = await asked(request.server, (target) => info(target, TRUSTED));
    out.write(`${size}\n`);
  } else {
    const exports =
      request.show === 'list' ? await describeAll(request.server) : [await describe(request.server)];
    out.write(request.json ? asJson(exports) : asText(exports));
  }
}

async function answers({ server, question, expected }: Request & { show: 'answer' }): Promise<number> {
  const description = await asked(server, (target) => info(target, TRUSTED));
  return answer(question, description) === expected ? YES : NO;
}

async function describe(server: Server, exportName?: string): Promise<Described> {
  const options = exportName === undefined ? TRUSTED : { ...TRUSTED, exportName };
  const description = await asked(server, (target) => info(target, options));
  return { description, uri: uriOf(server, description.exportName) };
}

async function describeAll(server: Server): Promise<Described[]> {
  const exports = await asked(server, (target) => listExports(target, TRUSTED));
  const described: Described[] = [];
  for (const { name, description } of exports) {
    const found = await describe(server, name);
    const said = found.description.description ?? description;
    described.push({ ...found, description: { ...found.description, description: said } });
  }
  return described;
}

async function showMap(request: Request & { show: 'map' }, out: Output): Promise<void> {
  const { context, totals, json } = request;
  await asked(request.server, async (target) => {
    await using disk = await connect(target, { ...TRUSTED, contexts: [context] });
    if (!disk.terms.contexts.has(context)) {
      throw new NbdError(
        'ENOTSUP',
        `the server does not tell ${context}; nbd-info SERVER lists what it tells`,
      );
    }
    const sums = new Totals(disk.size);
    const bar =
      !json && (request.bar ?? out.isTerminal) ? new Bar(context, disk.size, out.width - 2) : undefined;
    const list: object[] = [];
    for await (const extent of disk.extents({ context })) {
      sums.add(extent);
      bar?.add(extent);
      if (totals) continue;
      if (json) list.push(extentJson(context, extent));
      else {
        out.write(`${extentLine(context, extent)}\n`);
        await out.room();
      }
    }
    if (json) out.write(toJson(totals ? sums.json(context) : list));
    else if (totals) out.write(sums.lines(context).join('\n') + '\n');
    if (bar) out.write(bar.lines().join('\n') + '\n');
  });
}

/** Asks a server. One of ours is started for each question: many end with their first client. */
async function asked<T>(server: Server, question: (target: Target) => Promise<T>): Promise<T> {
  if ('uri' in server) return question(server.uri);
  await using captive = await spawnServer(server.command);
  return await question(captive);
}

function uriOf(server: Server, exportName: string): string | undefined {
  return 'uri' in server ? formatUri({ ...parseUri(server.uri), exportName }) : undefined;
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
