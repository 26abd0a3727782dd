import { readFile } from 'node:fs/promises';
import type { Names } from './names.js';

export type Language = 'typescript' | 'javascript';

/** The `package.json` of a new plugin. */
export async function manifestOf({ packageName }: Names, language: Language): Promise<object> {
  // All packages of the toolkit have one version.
  const toolkit = `^${await ownVersion()}`;
  const isTypeScript = language === 'typescript';
  return {
    name: packageName,
    version: '0.1.0',
    description: 'A disk whose bytes count up',
    keywords: ['nbd', 'nbd-plugin'],
    type: 'module',
    exports: isTypeScript ? { types: './dist/index.d.ts', default: './dist/index.js' } : './src/index.js',
    files: isTypeScript ? ['dist', '!dist/**/*.test.*'] : ['src', '!src/**/*.test.*'],
    engines: { node: '>=20' },
    scripts: isTypeScript
      ? {
          build: 'tsc',
          test: 'tsc && node --test dist/index.test.js',
          start: `tsc && nbd-serve ${packageName}`,
          prepack: 'tsc',
        }
      : {
          test: 'node --test src/index.test.js',
          start: `nbd-serve ${packageName}`,
        },
    dependencies: { '@nbd/plugin': toolkit },
    devDependencies: {
      '@nbd/client': toolkit,
      '@nbd/server': toolkit,
      '@nbd/transport': toolkit,
      ...(isTypeScript && { '@types/node': '^20.19.0', typescript: '^6.0.3' }),
    },
  };
}

export async function ownVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
