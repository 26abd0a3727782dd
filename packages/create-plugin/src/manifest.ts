import { readFile } from 'node:fs/promises';
import type { Names } from './names.js';

export type Language = 'typescript' | 'javascript';

/** The `package.json` of a new plugin. */
export async function manifestOf({ packageName }: Names, language: Language): Promise<object> {
  const { devDependencies } = await ownManifest();
  // Packed, ours are ranges of the versions that this release was tested with. In the repository any version will do.
  const toolkit = (name: string) => devDependencies[name]!.replace('workspace:^', '*');
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
    dependencies: { '@nbd/plugin': toolkit('@nbd/plugin') },
    devDependencies: {
      '@nbd/client': toolkit('@nbd/client'),
      '@nbd/server': toolkit('@nbd/server'),
      '@nbd/transport': toolkit('@nbd/transport'),
      ...(isTypeScript && { '@types/node': '^20.19.0', typescript: '^6.0.3' }),
    },
  };
}

export async function ownVersion(): Promise<string> {
  return (await ownManifest()).version;
}

interface Manifest {
  readonly version: string;
  readonly devDependencies: Readonly<Record<string, string>>;
}

async function ownManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as Manifest;
}
