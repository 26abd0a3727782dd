import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { isPluginModule } from '@nbd/plugin';
import { checkDevice } from '@nbd/plugin/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** Here the programs of the page see the packages that they import. */
const FOLDER = fileURLToPath(new URL('../node_modules/.cache/plugin-authoring/', import.meta.url));
const PAGE = new URL('../../docs/plugin-authoring.md', import.meta.url);
const TSC = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));

const programs = [...(await readFile(PAGE, 'utf8')).matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);
const files = programs.map((_, index) => `${FOLDER}${index}.ts`);

beforeAll(async () => {
  await mkdir(FOLDER, { recursive: true });
  for (const [index, text] of programs.entries()) await writeFile(files[index]!, text);
  await writeFile(
    `${FOLDER}tsconfig.json`,
    JSON.stringify({ extends: fileURLToPath(new URL('../../tsconfig.base.json', import.meta.url)), files }),
  );
  await promisify(execFile)(process.execPath, [
    TSC,
    '-p',
    FOLDER,
    '--emitDeclarationOnly',
    'false',
    '--types',
    'node',
    '--outDir',
    FOLDER,
  ]).catch((error: unknown) => {
    throw new Error((error as { stdout: string }).stdout);
  });
}, 60_000);

afterAll(() => rm(FOLDER, { recursive: true }));

test.each(files.map((file, index) => [index + 1, file] as const))(
  'program %i of the page runs, and a plugin in it keeps the contract',
  { timeout: 30_000 },
  async (_number, file) => {
    const module = (await import(pathToFileURL(file.replace(/ts$/, 'js')).href)) as {
      default?: unknown;
    };
    if (!isPluginModule(module.default)) {
      expect(module.default).toBeUndefined();
      return;
    }
    const plugin = await module.default.create({});
    const [first] = (await plugin.exports?.({ readOnly: false })) ?? [{ name: '' }];
    await checkDevice(() => plugin.open({ exportName: first!.name, readOnly: false }));
  },
);
