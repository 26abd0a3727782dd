import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manifestOf, type Language } from './manifest.js';
import type { Names } from './names.js';

const TEMPLATE = fileURLToPath(new URL('../template', import.meta.url));

/** What the template holds, and where it goes. npm leaves a `.gitignore` out of packages. */
const FILES = {
  'README.md': 'README.md',
  gitignore: '.gitignore',
  'tsconfig.json': 'tsconfig.json',
  'src/index.ts': 'src/index.ts',
  'src/index.test.ts': 'src/index.test.ts',
};

/**
 * Makes the package.
 * @throws Error if its directory is there and not empty
 */
export async function createPackage(names: Names, language: Language): Promise<void> {
  const { directory } = names;
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).length > 0) {
    throw new Error(`${directory} is not empty: name another directory, or empty it`);
  }
  const manifest = await manifestOf(names, language);
  await writeFile(join(directory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const [source, target] of Object.entries(FILES)) {
    if (source === 'tsconfig.json' && language === 'javascript') continue;
    const text = await readFile(join(TEMPLATE, source), 'utf8');
    const path = join(directory, inLanguage(target, language));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, inLanguage(withNames(text, names), language));
  }
}

/** The template is a plugin that works, `my-disk`. */
function withNames(text: string, { packageName, word, name }: Names): string {
  return text
    .replaceAll('nbd-plugin-my-disk', packageName)
    .replaceAll('plugin-my-disk', word)
    .replaceAll('my-disk', name);
}

/** Its sources name no types, for TypeScript knows them: so they are JavaScript too. */
function inLanguage(text: string, language: Language): string {
  return language === 'javascript'
    ? text.replaceAll('index.ts', 'index.js').replaceAll('.test.ts', '.test.js')
    : text;
}
