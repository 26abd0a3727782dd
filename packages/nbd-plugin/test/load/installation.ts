import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** The built package, which plugins on the disk import as anybody would. */
const PLUGIN_LIBRARY = new URL('../../dist/index.js', import.meta.url).href;

/** A directory tree of its own, removed when the test ends. */
export async function temporaryTree(): Promise<Tree> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'nbd-plugin-load-')));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return new Tree(root);
}

export class Tree {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  path(path: string): string {
    return join(this.root, path);
  }

  async file(path: string, content: string): Promise<string> {
    await mkdir(dirname(this.path(path)), { recursive: true });
    await writeFile(this.path(path), content);
    return this.path(path);
  }

  /** A server's module in a package of its own. */
  async server(directory: string): Promise<string> {
    await this.file(join(directory, 'package.json'), JSON.stringify({ name: '@nbd/server', type: 'module' }));
    return this.file(join(directory, 'dist/main.js'), '');
  }

  /** A package with a plugin, which tells by its description where it lies. `manifest` replaces the usual `exports`. */
  async package(
    directory: string,
    manifest: object = { exports: './main.js' },
    source?: string,
  ): Promise<void> {
    const name = /(@[^/]+\/)?[^/]+$/.exec(directory)![0];
    await this.file(
      join(directory, 'package.json'),
      JSON.stringify({ name, version: '1.0.0', type: 'module', ...manifest }),
    );
    await this.file(join(directory, 'main.js'), source ?? pluginSource(directory));
  }

  async link(path: string, target: string): Promise<void> {
    await mkdir(dirname(this.path(path)), { recursive: true });
    await symlink(this.path(target), this.path(path), 'junction');
  }
}

/** A module whose plugin has this description. */
export function pluginSource(description: string): string {
  return `
    import { definePlugin } from ${JSON.stringify(PLUGIN_LIBRARY)};
    export default definePlugin({
      name: 'found',
      description: ${JSON.stringify(description)},
      open: () => ({ size: 0n, read() {} }),
    });
  `;
}

/** A module whose filter has this description. */
export function filterSource(description: string): string {
  return `
    import { defineFilter } from ${JSON.stringify(PLUGIN_LIBRARY)};
    export default defineFilter({
      name: 'found',
      description: ${JSON.stringify(description)},
      setup: () => (inner) => inner,
    });
  `;
}
